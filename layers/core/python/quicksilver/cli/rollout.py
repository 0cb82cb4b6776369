"""``quicksilver rollout``: a model canary on its way to becoming champion."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.output import JsonOption, emit, explains_errors, write_page
from quicksilver.cli.rollout_plan import bake_seconds, in_words, read_guards, steps_bp
from quicksilver.cli.rollout_tables import decisions, decisions_table, status_view
from quicksilver.cli.route import percent
from quicksilver.cli.stage import (
    EndpointOption,
    PersonOption,
    ReasonOption,
    StageOption,
    YesOption,
    confirm,
    deployed_stage,
)
from quicksilver.errors import FieldError, InvalidInput, NotFound
from quicksilver.rollout.run import look_at
from quicksilver.routing import Route

app = typer.Typer(no_args_is_help=True, help="Move a model canary step by step, guarded.")

WATCH_SECONDS = 5.0


@app.command(
    epilog="Example: quicksilver rollout start --endpoint card-fraud --model card-fraud@2 "
    '--steps 1,5,25,50,100 --bake 10m --reason "Better on new cards." --as grace'
)
@explains_errors
def start(
    endpoint: EndpointOption,
    model: Annotated[str, typer.Option("--model", help="The approved model version to roll out.")],
    reason: ReasonOption,
    steps: Annotated[
        str, typer.Option("--steps", help="The canary's shares in per cent, rising to 100.")
    ] = "1,5,25,50,100",
    bake: Annotated[
        str, typer.Option("--bake", help="How long each step lasts at least: 30s, 10m, 2h, 1d.")
    ] = "10m",
    guards: Annotated[
        Path | None,
        typer.Option("--guards", help="A TOML file with the guards' limits.", show_default="ours"),
    ] = None,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give a model version a first small share; it grows while its guards hold, and is taken back when one does not."""
    if model.rpartition("@")[0] != endpoint:
        raise InvalidInput(
            f"{model} is not a model version of {endpoint}.",
            [FieldError("--model", f"must begin with {endpoint}@")],
        )
    shares, seconds, limits = steps_bp(steps), bake_seconds(bake), read_guards(guards)
    deployed = deployed_stage(stage, person)
    plan = [
        f"Roll out {model} on {endpoint} in stage {stage}: {', then '.join(map(percent, shares))}.",
        f"Each step bakes for {in_words(seconds)} and {limits.min_requests:,} requests at least.",
    ]
    confirm("\n".join(plan), yes=yes)
    route = deployed.registry.start_rollout(
        endpoint, model, steps_bp=shares, bake_seconds=seconds, guards=limits, reason=reason
    )
    _show(deployed, route, as_json=as_json)


@app.command(epilog="Example: quicksilver rollout status --endpoint card-fraud --watch")
@explains_errors
def status(
    endpoint: EndpointOption,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every few seconds until the rollout has ended.")
    ] = False,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show the canary's share and what each guard says, judged here and now from the rollup itself."""
    deployed = deployed_stage(stage)
    route = deployed.registry.rollout(endpoint)
    _show(deployed, route, as_json=as_json)
    while watch:
        sleep(WATCH_SECONDS)
        try:
            route = deployed.registry.rollout(endpoint)
        except NotFound:
            _show_decisions(deployed, endpoint, as_json=as_json, last=1)
            return
        _show(deployed, route, as_json=as_json)


@app.command(
    epilog='Example: quicksilver rollout pause --endpoint card-fraud --reason "A holiday." --as grace'
)
@explains_errors
def pause(
    endpoint: EndpointOption,
    reason: ReasonOption,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let the canary go no further until somebody resumes; its guards still take it back."""
    deployed = deployed_stage(stage, person)
    confirm(
        f"Pause the rollout on {endpoint} in stage {stage}: it goes no further until it is resumed.", yes=yes
    )
    _show(deployed, deployed.registry.pause_rollout(endpoint, reason=reason), as_json=as_json)


@app.command(
    epilog='Example: quicksilver rollout resume --endpoint card-fraud --reason "We are back." --as grace'
)
@explains_errors
def resume(
    endpoint: EndpointOption,
    reason: ReasonOption,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a paused rollout go on where it was."""
    deployed = deployed_stage(stage, person)
    confirm(f"Resume the rollout on {endpoint} in stage {stage}.", yes=yes)
    _show(deployed, deployed.registry.resume_rollout(endpoint, reason=reason), as_json=as_json)


@app.command(
    epilog='Example: quicksilver rollout abort --endpoint card-fraud --reason "Complaints." --as grace --yes'
)
@explains_errors
def abort(
    endpoint: EndpointOption,
    reason: ReasonOption,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give every entity back to the champion at once; running functions take it up within seconds."""
    deployed = deployed_stage(stage, person)
    confirm(f"Abort the rollout on {endpoint} in stage {stage}: its champion answers for everyone.", yes=yes)
    deployed.registry.abort_rollout(endpoint, reason=reason)
    _show_decisions(deployed, endpoint, as_json=as_json, last=1)


@app.command(epilog="Example: quicksilver rollout history --endpoint card-fraud")
@explains_errors
def history(endpoint: EndpointOption, stage: StageOption = "local", as_json: JsonOption = False) -> None:
    """Show what was decided on the endpoint's rollouts, by whom or by which numbers; --json has all of them."""
    _show_decisions(deployed_stage(stage), endpoint, as_json=as_json)


@app.command(epilog="Example: quicksilver rollout report --endpoint card-fraud --html rollout.html")
@explains_errors
def report(
    endpoint: EndpointOption,
    number: Annotated[
        int | None, typer.Option("--rollout", help="An earlier rollout.", show_default="the last")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as a page, too.")] = None,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show what became of a rollout and why: each decision, and what the guards saw over time."""
    from quicksilver.cli.rollout_report import read_report, render

    found = read_report(deployed_stage(stage), endpoint, number, now_ms=SystemClock().now_ms())
    if html is not None:
        from quicksilver.reports.rollout_page import render_rollout

        write_page(html, render_rollout(found))
    emit(found.model_dump(mode="json"), as_json=as_json, render=lambda: render(found))


@app.command(epilog="Example: quicksilver rollout run --yes")
@explains_errors
def run(stage: StageOption = "local", yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Look at every rollout of the stage now, as the schedule does each minute, and do what follows."""
    deployed = deployed_stage(stage)
    confirm(f"Look at every rollout of stage {stage} now, and move on or take back what is due.", yes=yes)
    said = deployed.invoke(deployed.function("rollout"), {})

    def render() -> Table:
        table = Table("endpoint", "what came of it")
        for endpoint, text in said.items():
            table.add_row(endpoint, Text(str(text)))
        return table

    emit(said, as_json=as_json, render=render)


def _show(deployed: DeployedStage, route: Route, *, as_json: bool) -> None:
    seen = look_at(route, deployed.rollup, SystemClock())
    content = {"route": route.model_dump(mode="json"), "look": seen.model_dump(mode="json")}
    emit(content, as_json=as_json, render=lambda: status_view(route, seen))


def _show_decisions(
    deployed: DeployedStage, endpoint: str, *, as_json: bool, last: int | None = None
) -> None:
    found = decisions(deployed.registry.history(endpoint))
    found = found if last is None else found[-last:]
    content = [entry.model_dump(mode="json") for entry in found]
    emit(content, as_json=as_json, render=lambda: decisions_table(endpoint, found))
