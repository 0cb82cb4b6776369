"""Judging windows from this machine, over a deployed stage's archive. Imported when it is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.aws.announcer import AwsAnnouncer
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.system import SystemClock
from quicksilver.cli.archive import Engine
from quicksilver.drift.judgement import judge
from quicksilver.drift.result import WindowResult
from quicksilver.drift.run import DriftRun
from quicksilver.drift.window_judge import Judged, WindowJudge
from quicksilver.drift.windows import HOUR_MS, windows_between
from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import FieldError, InvalidParameter, NotFound
from quicksilver.instants import utc_iso
from quicksilver.metrics import Metric
from quicksilver.monitoring import Window
from quicksilver.monitoring_announcements import ArchivePlace, MonitoringAnnouncements
from quicksilver.query import QueryEngine
from quicksilver.reports.drift_page import judged_page
from quicksilver.retraining.trigger import Trigger as RetrainTrigger
from quicksilver.scheduled import Announcing, Trigger
from quicksilver.sql.engine import DuckDBEngine

MOST_WINDOWS = 400


class _Uncounted:
    """Metrics of a process that has none."""

    def count(self, name: Metric, value: int = 1) -> None:
        """Count nothing."""


def window_ms(text: str) -> int:
    """A window's length as it is typed, ``24h`` or ``7d``, in milliseconds. Raises ``InvalidParameter``."""
    found = re.fullmatch(r"([1-9][0-9]{0,2})([hd])", text)
    hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
    if not 1 <= hours <= 24 * 7:
        raise InvalidParameter(
            "The window is not valid.", [FieldError("--window", "must be 1h to 168h, or 1d to 7d")]
        )
    return hours * HOUR_MS


def policies_of(deployed: DeployedStage) -> dict[str, DriftPolicy]:
    """The drift policies that the stage was deployed with."""
    told = deployed.environment_of(deployed.function("drift"))["QUICKSILVER_DRIFT_POLICIES"]
    return {name: DriftPolicy.model_validate(each) for name, each in json.loads(told).items()}


def window_judge(
    deployed: DeployedStage, endpoint: str, engine: Engine, *, length_ms: int | None = None
) -> WindowJudge:
    """What judges an endpoint's windows as the deployed function would. Raises ``NotFound`` for another's endpoint."""
    policy = policies_of(deployed).get(endpoint)
    if policy is None:
        raise NotFound(f"The stage {deployed.stage} has no endpoint {endpoint}.")
    if length_ms is not None:
        policy = policy.model_copy(update={"window_hours": length_ms // HOUR_MS})
    answering: QueryEngine = (
        deployed.athena
        if engine is Engine.ATHENA
        else DuckDBEngine(deployed.archive, late_hours=policy.late_hours)
    )
    return WindowJudge(
        policy=policy,
        cutoff=deployed.policy(endpoint).cutoff,
        engine=answering,
        rollup=deployed.rollup,
        artifacts=deployed.artifacts,
        monitoring=deployed.monitoring,
        clock=SystemClock(),
        judge=judge,
    )


def followers(deployed: DeployedStage) -> tuple[Trigger, Announcing]:
    """What decides and tells what follows, as the deployed function has it."""
    told = deployed.environment_of(deployed.function("drift"))
    clock, policies = SystemClock(), policies_of(deployed)
    registry = DynamoDBRegistryStore(deployed.client("dynamodb"), told["QUICKSILVER_REGISTRY_TABLE"])
    announcer = AwsAnnouncer(
        deployed.client("events"),
        told["QUICKSILVER_EVENT_BUS"],
        deployed.client("sns"),
        told["QUICKSILVER_TOPIC"],
    )
    place = ArchivePlace(told["QUICKSILVER_ARCHIVE_BUCKET"], deployed.client("s3").meta.region_name)
    store = deployed.monitoring
    return (
        RetrainTrigger(deployed.stage, store, registry, policies, clock),
        MonitoringAnnouncements(deployed.stage, store, announcer, policies, place, clock),
    )


def run_of(judged: WindowJudge, deployed: DeployedStage) -> DriftRun:
    """One run for one endpoint, with what follows."""
    trigger, announcements = followers(deployed)
    return DriftRun([judged], judged_page, trigger, announcements, _Uncounted())


def backtest_windows(policy: DriftPolicy, start_ms: int, end_ms: int) -> list[Window]:
    """The whole windows of a span. Raises ``InvalidParameter`` where there are none, or too many."""
    windows = windows_between(policy.window_ms, start_ms, end_ms)
    if not 1 <= len(windows) <= MOST_WINDOWS:
        reason = f"must hold 1 to {MOST_WINDOWS} whole windows of {policy.window_hours} h, not {len(windows)}"
        raise InvalidParameter("There is nothing to test.", [FieldError("--from, --to", reason)])
    return windows


def render_windows(results: Sequence[WindowResult]) -> RenderableType:
    """A line for each window: rows, how complete, how many alarms, and the first."""
    right = (Column(name, justify="right") for name in ("predictions", "complete", "alarms"))
    table = Table(Column("window (UTC)", no_wrap=True), *right, Column("first of them", overflow="fold"))
    for result in results:
        counts, alarms = result.counts, result.alarms
        cells = (
            f"{utc_iso(counts.window.start_ms)[:16].replace('T', ' ')} {(counts.window.end_ms - counts.window.start_ms) // HOUR_MS} h",
            f"{counts.archived:,}",
            "" if counts.complete is None else f"{100 * counts.complete:.4g} %",
            str(len(alarms)) if result.findings else "",
            (alarms[0].sentence if alarms else "") if result.findings else "not judged",
        )
        table.add_row(*map(Text, cells), style="red" if alarms else "")
    return table


def render_window(judged: Judged) -> RenderableType:
    """One window: its line, its alarms and what a reader must know."""
    result = judged.result
    alarms = [Text(f"- {alarm.model}, {alarm.sentence}", style="red") for alarm in result.alarms]
    notes = [Text(note, style="yellow") for note in result.notes]
    return Group(render_windows([result]), *alarms, *notes)
