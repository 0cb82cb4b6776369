"""The report on performance at the command line: read from the archive, and shown. Imported when it is wanted: it is slow to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.cli.archive import Engine, opened_by
from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import NotFound
from quicksilver.instants import utc_iso
from quicksilver.performance.reference import ReferenceAuc
from quicksilver.query import OpenArchive, Span
from quicksilver.reports.performance import PerformanceReport, read_report


@dataclass(frozen=True, slots=True)
class _StageArchive:
    """A stage's archive behind the query port, by the engine that a person has chosen."""

    deployed: DeployedStage
    engine: Engine

    @property
    def slice_ms(self) -> int | None:
        return None

    @contextmanager
    def open(
        self, tables: Sequence[str], span: Span | None = None, *, endpoint: str | None = None
    ) -> Iterator[OpenArchive]:
        with opened_by(self.engine, self.deployed, tables, span, endpoint=endpoint) as archive:
            yield archive


def read(
    deployed: DeployedStage,
    endpoint: str,
    engine: Engine,
    *,
    now_ms: int,
    since_ms: int | None,
    until_ms: int | None,
) -> PerformanceReport:
    """The report by the policies that the stage was deployed with. Raises ``NotFound``, ``InvalidQuery`` or ``Unavailable``."""
    told = deployed.environment_of(deployed.function("performance"))
    policies = json.loads(told["QUICKSILVER_DRIFT_POLICIES"])
    if endpoint not in policies:
        raise NotFound(f"The stage {deployed.stage} has no endpoint {endpoint}.")
    registry = DynamoDBRegistryStore(deployed.client("dynamodb"), deployed.outputs["RegistryTable"])
    return read_report(
        _StageArchive(deployed, engine),
        DriftPolicy.model_validate(policies[endpoint]),
        json.loads(told["QUICKSILVER_CUTOFFS"])[endpoint],
        now_ms=now_ms,
        since_ms=since_ms,
        until_ms=until_ms,
        reference_auc=ReferenceAuc(registry, deployed.artifacts),
    )


def render(found: PerformanceReport, page: Path | None) -> RenderableType:
    """The sentence, the weeks, and what is to be known of labels."""
    said = [found.selection.sentence]
    if found.coverage.faults:
        said.append(_coverage(found))
    if page is not None:
        said.append(f"The whole report is in {page}.")
    return Group(Text(found.sentence, style="bold"), Text(), _weeks(found), Text(), *map(Text, said))


def _coverage(found: PerformanceReport) -> str:
    coverage = found.coverage
    unknown = coverage.unknown_by_id + coverage.unknown_by_entity
    return (
        f"Of {coverage.outcomes:,} outcomes {unknown:,} are of no prediction since {utc_iso(coverage.since_ms)[:10]} and "
        f"{coverage.early:,} were known before theirs; {coverage.future:,} are of the future, and "
        f"{coverage.contradicting:,} predictions have labels that contradict each other."
    )


def _weeks(found: PerformanceReport) -> Table:
    names = ("predictions", "labels", "ripe", "AUC", "estimated", "KS", "Brier")
    table = Table(
        Column("week of", no_wrap=True),
        Column("arm", overflow="fold"),
        *(Column(name, justify="right", no_wrap=True) for name in names),
    )
    for week in found.weeks:
        metrics = week.realised.metrics if week.realised else None
        numbers = (
            metrics and metrics.auc,
            week.estimated_auc,
            metrics and metrics.ks,
            metrics and metrics.brier,
        )
        table.add_row(
            utc_iso(week.start_ms)[:10],
            f"{week.model} {week.role}",
            f"{week.answered.predictions:,}",
            f"{week.labelled:,}",
            "" if week.ripeness is None else f"{week.ripeness:.0%}",
            *("" if number is None else f"{number:.3f}" for number in numbers),
        )
    return table
