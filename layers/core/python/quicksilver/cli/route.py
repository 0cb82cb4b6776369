"""``quicksilver route``: which model versions answer, and which did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.cli.model_registry import facts
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
from quicksilver.errors import FieldError, InvalidRoute, NotFound
from quicksilver.model_version import who
from quicksilver.rollout_plan import Rollout
from quicksilver.routing import FULL_SHARE_BP, Arm, Role, Route

if TYPE_CHECKING:
    from quicksilver.aws.registry_client import RegistryClient

app = typer.Typer(no_args_is_help=True, help="Show and set an endpoint's route.")


@app.command(epilog="Example: quicksilver route show --endpoint card-fraud")
@explains_errors
def show(endpoint: EndpointOption, stage: StageOption = "local", as_json: JsonOption = False) -> None:
    """Show the endpoint's current route, and what moves it."""
    _emit(deployed_stage(stage).registry.current_route(endpoint), as_json=as_json)


@app.command(
    name="set",
    epilog="Example: quicksilver route set --endpoint card-fraud --champion card-fraud@1"
    ' --arm canary:card-fraud@2:5 --reason "A first look." --as grace',
)
@explains_errors
def set_(
    endpoint: EndpointOption,
    reason: ReasonOption,
    champion: Annotated[
        str | None,
        typer.Option(
            "--champion",
            help="The model version that answers for every entity no other arm has.",
            show_default="the present one",
        ),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            help="ROLE:MODEL:SHARE, the share in per cent: canary:card-fraud@14:5. A shadow has no share. Once for each.",
        ),
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            "--holdout",
            help="Per cent of the entities that always see the champion.",
            show_default="as it is",
        ),
    ] = None,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make these arms the whole route; running functions take it up within seconds."""
    if champion and champion.rpartition("@")[0] != endpoint:
        raise InvalidRoute(
            f"{champion} is not a model version of {endpoint}.",
            [FieldError("--champion", f"must begin with {endpoint}@")],
        )
    beside = [_parsed(text) for text in arms or ()]
    holdout_bp = None if holdout is None else typed_share_bp("--holdout", holdout)
    rest = FULL_SHARE_BP - sum(share_bp for _, _, share_bp in beside)
    if rest < 0:
        raise InvalidRoute(
            "The shares leave nothing for the champion.",
            [FieldError("--arm", f"adds up to {percent(FULL_SHARE_BP - rest)}")],
        )
    registry = deployed_stage(stage, person).registry
    current = _current(registry, endpoint)
    name = champion or (current.champion.model if current else "")
    if not name:
        raise InvalidRoute(
            f"The endpoint {endpoint} has no champion yet.", [FieldError("--champion", "is needed")]
        )
    wanted = [
        Arm(
            model=model,
            package_sha256=registry.model_version(model).package_sha256,
            role=role,
            share_bp=share_bp,
        )
        for role, model, share_bp in ((Role.CHAMPION, name, rest), *beside)
    ]
    held_out = holdout_bp if holdout_bp is not None else current.holdout_bp if current else 0
    now = f" It is {in_words(current.arms, current.holdout_bp)} now." if current else ""
    confirm(f"Route {endpoint} in stage {stage} to {in_words(wanted, held_out)}.{now}", yes=yes)
    # What was shown is what is replaced: another route in between is refused.
    expected = current.number if current else 0
    route = registry.set_route(endpoint, wanted, reason=reason, expected=expected, holdout_bp=holdout_bp)
    _emit(route, as_json=as_json)


@app.command(epilog="Example: quicksilver route history --endpoint card-fraud --limit 5")
@explains_errors
def history(
    endpoint: EndpointOption,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many routes, the newest first.")] = 20,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show the endpoint's routes, the newest first: since when, which arms, and who or what moved them."""
    registry = deployed_stage(stage).registry
    last = registry.current_route(endpoint).number
    routes = list(registry.routes(endpoint, after=max(0, last - limit)))[-limit:][::-1]

    def render() -> Table:
        names = ("", "since", "arms", "moved by", "who")
        table = Table(*(Column(name, overflow="fold") for name in names))
        for route in routes:
            arms = in_words(route.arms, route.holdout_bp, "\n")
            cells = (str(route.number), route.created_at, arms, _moved_by(route), who(route.author))
            table.add_row(*map(Text, cells))
        return table

    emit([route.model_dump(mode="json") for route in routes], as_json=as_json, render=render)


def route_view(route: Route) -> RenderableType:
    """A route as a person reads it."""
    title = f"{route.endpoint}, route {route.number}, since {route.created_at}"
    table = Table("arm", "model version", "share", title=title, title_justify="left")
    for arm in route.arms:
        table.add_row(arm.role, arm.model, "" if arm.role is Role.SHADOW else percent(arm.share_bp))
    return Group(table, facts(dict(_facts(route))))


def percent(share_bp: int) -> str:
    return f"{share_bp / 100:g} %"


def in_words(arms: Sequence[Arm], holdout_bp: int, between: str = ", ") -> str:
    """Who answers, compactly: ``champion card-fraud@1 95 %, canary card-fraud@2 5 %``."""
    parts = [
        f"shadow {arm.model}"
        if arm.role is Role.SHADOW
        else f"{arm.role.value} {arm.model} {percent(arm.share_bp)}"
        for arm in arms
    ]
    return between.join([*parts, f"holdout {percent(holdout_bp)}"] if holdout_bp else parts)


def _facts(route: Route) -> Iterator[tuple[str, str]]:
    yield "by", who(route.author)
    if route.holdout_bp:
        yield "holdout", f"{percent(route.holdout_bp)} of the entities, which always see the champion"
    if rollout := route.rollout:
        steps = ", ".join(percent(step) for step in rollout.steps_bp)
        yield "rollout", f"of {rollout.model} from route {rollout.number} on, since {rollout.started_at}"
        yield "now", f"{_step(rollout)}, since {rollout.step_at}"
        yield "steps", f"{steps}; {rollout.bake_seconds} s each"
    if experiment := route.experiment:
        share = percent(experiment.share_bp)
        yield "experiment", f"with {experiment.challenger} at {share}, from route {experiment.number} on"
        yield "since", experiment.started_at


def _moved_by(route: Route) -> str:
    if rollout := route.rollout:
        return f"rollout {rollout.number}\n{_step(rollout)}"
    return f"experiment {route.experiment.number}" if route.experiment else ""


def _step(rollout: Rollout) -> str:
    return f"step {rollout.step + 1} of {len(rollout.steps_bp)}{', paused' if rollout.paused else ''}"


def _current(registry: RegistryClient, endpoint: str) -> Route | None:
    try:
        return registry.current_route(endpoint)
    except NotFound:
        return None


def _parsed(text: str) -> tuple[Role, str, int]:
    """An arm as it is typed: its role, its model version, its share in basis points."""
    role, _, rest = text.partition(":")
    model, _, share = rest.partition(":")
    beside = (Role.CANARY, Role.CHALLENGER, Role.SHADOW)
    if role not in beside or not model:
        raise InvalidRoute(
            f"{text} is no arm.",
            [FieldError("--arm", f"must be ROLE:MODEL:SHARE, its role one of {', '.join(beside)}")],
        )
    if (role == Role.SHADOW) is bool(share):
        reason = "a shadow has no share" if share else f"the share of a {role} is missing"
        raise InvalidRoute(f"{text} is no arm.", [FieldError("--arm", reason)])
    return Role(role), model, typed_share_bp("--arm", share) if share else 0


def typed_share_bp(option: str, text: str) -> int:
    """Per cent as they are typed, in basis points."""
    try:
        share_bp = Decimal(text.removesuffix("%").strip()) * 100
    except InvalidOperation:
        share_bp = Decimal("NaN")
    if not (share_bp.is_finite() and 0 <= share_bp <= FULL_SHARE_BP and share_bp == int(share_bp)):
        raise InvalidRoute(
            f"{text} is no share.",
            [FieldError(option, "must be per cent, 0 to 100, with two decimals at most")],
        )
    return int(share_bp)


def _emit(route: Route, *, as_json: bool) -> None:
    emit(route.model_dump(mode="json"), as_json=as_json, render=lambda: route_view(route))
