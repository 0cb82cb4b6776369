"""The report of an experiment at the command line: read from the archive, and shown. Imported when it is wanted: it is slow to."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.archive import opened_archive
from quicksilver.errors import NotFound
from quicksilver.query import Span
from quicksilver.reports.experiment import WORDS, ExperimentReport, finite, report
from quicksilver.reports.experiment_data import find_experiment, read_experiment


def read_report(deployed: DeployedStage, endpoint: str, number: int | None) -> ExperimentReport:
    """The report on the experiment of that number, or on the latest. Raises ``NotFound`` or ``Unavailable``."""
    found = find_experiment(list(deployed.registry.routes(endpoint)), number)
    if found is None:
        which = "experiment yet" if number is None else f"experiment {number}"
        raise NotFound(f"{endpoint} has had no {which}.")
    now_ms = SystemClock().now_ms()
    # This machine's clock may be behind the registry's.
    span = Span(found.started_ms, max(now_ms, found.started_ms + 1))
    with opened_archive(deployed, ["predictions", "outcomes"], span, endpoint=endpoint) as database:
        data = read_experiment(database, endpoint, found)
    return report(found, data, now_ms=now_ms)


def render(found: ExperimentReport) -> RenderableType:
    """The sentence, and the tables behind it."""
    return Group(Text(found.sentence, style="bold"), Text(), _measures(found), Text(), _arms(found))


def _measures(found: ExperimentReport) -> Table:
    right = [
        Column(name, justify="right") for name in ("challenger", "champion", "difference", "low", "high")
    ]
    table = Table("measure", *right)
    for measure, difference in found.now.differences.items():
        is_primary = measure is found.found.experiment.terms.primary
        numbers = (
            finite(getattr(difference, name)) for name in ("challenger", "champion", "value", "low", "high")
        )
        table.add_row(
            WORDS[measure] + ("" if is_primary else " (secondary)"),
            *("" if number is None else f"{number:.4g}" for number in numbers),
            style="bold" if is_primary else None,
        )
    return table


def _arms(found: ExperimentReport) -> Table:
    right = [
        Column(name, justify="right")
        for name in ("share", "entities", "ripe", "with outcome", "of ripe", "bad")
    ]
    table = Table("arm", Column("model version", overflow="fold"), *right)
    for row in found.arms:
        known = f"{100 * row.outcomes / row.ripe:.1f} %" if row.ripe else ""
        counts = (row.entities, row.ripe, row.outcomes)
        table.add_row(
            row.arm,
            row.model,
            f"{100 * row.share:.4g} %",
            *(f"{count:,}" for count in counts),
            known,
            f"{row.bads:,}",
        )
    return table
