"""``quicksilver route``: which model versions answer."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from quicksilver.cli.output import JsonOption, emit, explains_errors
from quicksilver.cli.stage import (
    EndpointOption,
    PersonOption,
    ReasonOption,
    StageOption,
    YesOption,
    confirm,
    deployed_stage,
)
from quicksilver.errors import FieldError, InvalidRoute
from quicksilver.routing import Route, sole_champion

app = typer.Typer(no_args_is_help=True, help="Show and set an endpoint's route.")


@app.command(epilog="Example: quicksilver route show --endpoint card-fraud")
@explains_errors
def show(endpoint: EndpointOption, stage: StageOption = "local", as_json: JsonOption = False) -> None:
    """Show the endpoint's current route."""
    _emit(deployed_stage(stage).registry.current_route(endpoint), as_json=as_json)


@app.command(
    name="set",
    epilog='Example: quicksilver route set --endpoint card-fraud --champion card-fraud@2 --reason "Better." --as grace',
)
@explains_errors
def set_(
    endpoint: EndpointOption,
    champion: Annotated[
        str, typer.Option("--champion", help="The model version that answers for every entity.")
    ],
    reason: ReasonOption,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make one approved model version the champion; running functions take it up within seconds."""
    if champion.rpartition("@")[0] != endpoint:
        raise InvalidRoute(
            f"{champion} is not a model version of {endpoint}.",
            [FieldError("--champion", f"must begin with {endpoint}@")],
        )
    deployed = deployed_stage(stage, person)
    confirm(f"Make {champion} the champion of {endpoint} in stage {stage}.", yes=yes)
    arm = sole_champion(deployed.registry.model_version(champion))
    _emit(deployed.registry.set_route(endpoint, [arm], reason=reason), as_json=as_json)


def route_table(route: Route) -> Table:
    """A route as a person reads it."""
    title = f"{route.endpoint}, route {route.number}, since {route.created_at}"
    table = Table("arm", "model version", "share", title=title, title_justify="left")
    for arm in route.arms:
        table.add_row(arm.role, arm.model, f"{arm.share_bp / 100:g} %")
    return table


def _emit(route: Route, *, as_json: bool) -> None:
    emit(route.model_dump(mode="json"), as_json=as_json, render=lambda: route_table(route))
