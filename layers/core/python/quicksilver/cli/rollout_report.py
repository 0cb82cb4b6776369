"""The report on a rollout at the command line. Imported when it is wanted."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.cli.output import progress_bar
from quicksilver.cli.rollout_tables import guards_table
from quicksilver.cli.route import percent
from quicksilver.errors import NotFound
from quicksilver.model_version import who
from quicksilver.reports.rollout import ArmTotal, RolloutReport, gone_words, report
from quicksilver.reports.rollout_decisions import Decision, find_rollout, rollout_numbers


def read_report(deployed: DeployedStage, endpoint: str, number: int | None, *, now_ms: int) -> RolloutReport:
    """The report on the rollout of that number, or on the last. Raises ``NotFound`` or ``Unavailable``."""
    entries = list(deployed.registry.history(endpoint))
    numbers = rollout_numbers(entries)
    if not numbers:
        error = NotFound(f"{endpoint} has had no rollout yet.")
        error.add_note(
            f"Start one with: quicksilver rollout start --endpoint {endpoint} --model {endpoint}@..."
        )
        raise error
    found = find_rollout(entries, numbers[-1] if number is None else number)
    if found is None:
        error = NotFound(f"{endpoint} has had no rollout {number}.")
        error.add_note(f"It has had: {', '.join(map(str, numbers))}")
        raise error
    with progress_bar("reading the rollup") as advance:
        return report(found, deployed.rollup, now_ms=now_ms, advance=advance)


def render(found: RolloutReport) -> RenderableType:
    """The sentence, and the tables behind it."""
    gone = [Text(gone_words(found), style="yellow")] if found.gone_before else []
    last = guards_table([series.last for series in found.guards])
    return Group(
        Text(found.sentence, style="bold"),
        *gone,
        Text(),
        _decisions(found.decisions),
        Text(),
        last,
        Text(),
        _arms(found.arms),
    )


def _decisions(decisions: tuple[Decision, ...]) -> Table:
    whole = (Column(name, no_wrap=True) for name in ("when", "what"))
    right = (Column(name, justify="right") for name in ("share", "requests"))
    table = Table(*whole, *right, Column("by", overflow="fold"), Column("why", overflow="fold"))
    for decision in decisions:
        look = decision.look
        cells = (
            f"{decision.at[:10]} {decision.at[11:19]}Z",
            decision.words,
            percent(decision.share_bp),
            f"{look.canary_requests:,}" if look else "",
            "its guards" if look else who(decision.who),
            decision.reason,
        )
        table.add_row(*map(Text, cells))  # people's words, in which a "[" is no markup
    return table


def _arms(arms: tuple[ArmTotal, ...]) -> Table:
    names = ("requests", "errors", "degraded", "approved", "median", "p99")
    table = Table(
        "arm", Column("model version", overflow="fold"), *(Column(name, justify="right") for name in names)
    )
    for arm in arms:
        counts = (arm.requests, arm.errors, arm.degraded, arm.approved)
        latency = ("" if us is None else f"{us / 1_000:.1f} ms" for us in (arm.median_us, arm.p99_us))
        table.add_row(arm.role, arm.model, *(f"{count:,}" for count in counts), *latency)
    return table
