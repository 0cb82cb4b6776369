"""``quicksilver rollup``: whether the counts behind every guard and report are right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.archive import opened_archive
from quicksilver.cli.model_registry import facts
from quicksilver.cli.output import JsonOption, emit, explains_errors, fail
from quicksilver.cli.stage import EndpointOption, StageOption, deployed_stage
from quicksilver.errors import NotFound
from quicksilver.instants import utc_iso
from quicksilver.query import Span
from quicksilver.rollup.recount import differences, recount
from quicksilver.rollup_counts import Period

app = typer.Typer(no_args_is_help=True, help="What each arm did in each period, counted from the stream.")


@app.command(epilog="Example: quicksilver rollup check --endpoint card-fraud --minutes 60")
@explains_errors
def check(
    endpoint: EndpointOption,
    minutes: Annotated[int, typer.Option("--minutes", min=1, help="How far back to compare.")] = 60,
    settle_seconds: Annotated[
        int, typer.Option("--settle", min=0, help="Seconds to leave out at the end: records on their way.")
    ] = 120,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Recount the archive and compare it with the rollup. Exits with 1 where they differ.

    It copies what was archived since then to this machine.
    """
    deployed = deployed_stage(stage)
    period_ms, cutoff = _counting(deployed, endpoint)
    # Whole periods: the last one may go on behind the end.
    until_ms = (SystemClock().now_ms() - settle_seconds * 1_000) // period_ms * period_ms
    since_ms = (until_ms - minutes * 60_000) // period_ms * period_ms
    span = Span(since_ms, until_ms)
    with opened_archive(deployed, ["predictions"], span, endpoint=endpoint) as database:
        archive = recount(
            lambda sql, parameters: database.query(sql, parameters).records(),
            endpoint,
            since_ms=since_ms,
            until_ms=until_ms,
            period_ms=period_ms,
            cutoff=cutoff,
        )
    rollup = deployed.rollup.periods(endpoint, since_ms=since_ms, until_ms=until_ms)
    found = differences(rollup, archive)
    content: dict[str, Any] = {
        "since": utc_iso(since_ms),
        "until": utc_iso(until_ms),
        "requests in the rollup": _requests(rollup),
        "requests in the archive": _requests(archive),
    }

    def render() -> RenderableType:
        return Group(facts(content), *(Text(sentence, style="red") for sentence in found))

    emit({**content, "differences": found}, as_json=as_json, render=render)
    if found:
        fail(f"The rollup of {endpoint} is not what the archive holds.")


def _counting(deployed: DeployedStage, endpoint: str) -> tuple[int, float]:
    """The period (ms) and the cut-off that the deployed function counts by. Raises ``NotFound`` for another's endpoint."""
    told = deployed.environment_of(deployed.function("rollup"))
    cutoff = json.loads(told["QUICKSILVER_CUTOFFS"]).get(endpoint)
    if cutoff is None:
        raise NotFound(f"The stage {deployed.stage} has no endpoint {endpoint}.")
    return int(told["QUICKSILVER_ROLLUP_PERIOD_SECONDS"]) * 1_000, cutoff


def _requests(periods: Sequence[Period]) -> int:
    return sum(counts.requests for period in periods for counts in period.arms.values())
