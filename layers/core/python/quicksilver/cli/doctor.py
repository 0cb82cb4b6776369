"""``quicksilver doctor``: whether a deployed stage is well, from its stacks to a decision in its archive."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.archive import Engine, opened_by
from quicksilver.cli.output import JsonOption, emit, explains_errors, fail, progress_steps
from quicksilver.cli.stage import StageOption, deployed_stage
from quicksilver.doctor.examination import Round
from quicksilver.doctor.finding import Examination, Finding, Health
from quicksilver.query import Span

EXAMPLE = "Example: quicksilver doctor --stage local --probe"

_STYLES = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "bold red", Health.SKIPPED: "dim"}
_PATIENCE_SECONDS = 180
"""A delivery leaves after a minute or 64 MiB, and an object is there some seconds later."""
_MARGIN_MS = 60_000


@explains_errors
def doctor(
    stage: StageOption = "local",
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Score one request per endpoint too, a golden row of its champion, for the entity "
            "quicksilver-doctor: a decision with a record.",
        ),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show what is well and what is skipped too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a deployed stage end to end: stacks, functions, stores, keys, registry, API, records, alarms.

    It reads and changes nothing. Exits with 1 where something fails or cannot be seen; what a stage's platform does not tell
    is skipped, and never called well.
    """
    deployed = deployed_stage(stage)
    clock = SystemClock()
    round_ = Round(deployed, deployed.reader, deployed.probed_api, clock)
    with progress_steps() as progress:
        watch = ArchiveWatch(deployed, clock) if probe else None
        seen = round_.examine(progress, probe=watch)
    content = {"stage": stage, "well": seen.well, "findings": [asdict(finding) for finding in seen.findings]}
    emit(content, as_json=as_json, render=lambda: _render(seen, everything=everything))
    if not seen.well:
        fail(f"The stage {stage} is not well: {len(seen.of(Health.FAIL))} findings have failed.")


class ArchiveWatch:
    """Looks for a record where the stage's own engine finds it: on this machine for an emulator, else in Athena."""

    def __init__(self, deployed: DeployedStage, clock: SystemClock) -> None:
        self._deployed = deployed
        self._clock = clock

    def __call__(self, endpoint: str, prediction_id: str) -> tuple[int | None, int]:
        engine = Engine.DUCKDB if self._deployed.endpoint_url else Engine.ATHENA
        id = UUID(prediction_id)
        asked_ms = self._clock.now_ms()
        while True:
            now_ms = self._clock.now_ms()
            waited = (now_ms - asked_ms) // 1_000
            span = Span(asked_ms - _MARGIN_MS, now_ms + _MARGIN_MS)
            with opened_by(engine, self._deployed, ["predictions"], span, endpoint=endpoint) as archive:
                found = archive.query(f"SELECT count(*) AS n FROM predictions WHERE prediction_id = '{id}'")  # noqa: S608 - a UUID
            if times := next(iter(found.records()))["n"]:
                return times, waited
            if waited >= _PATIENCE_SECONDS:
                return None, waited
            time.sleep(2)


def _render(seen: Examination, *, everything: bool) -> RenderableType:
    urgent = (Health.WARN, Health.FAIL)
    shown = [finding for finding in seen.findings if everything or finding.health in urgent]
    counts = Counter(finding.health for finding in seen.findings)
    summary = ", ".join(f"{counts[health]} {health.value}" for health in Health if counts[health])
    verdict = f"{seen.stage} is {'well' if seen.well else 'not well'}: {summary}"
    if len(shown) < len(seen.findings):
        verdict += " (--all shows every line)"
    head = Text(verdict, style="bold")
    if not shown:
        return head
    table = Table(
        Column("", no_wrap=True),
        Column("what", overflow="fold", max_width=40),
        Column("seen", overflow="fold"),
    )
    for finding in shown:
        table.add_row(
            Text(finding.health.value, style=_STYLES[finding.health]), _what(finding), _seen(finding)
        )
    return Group(head, table)


def _what(finding: Finding) -> Text:
    return Text(f"{finding.area}: {finding.subject}")


def _seen(finding: Finding) -> Text:
    text = Text(finding.seen)
    return text.append(f"\n{finding.next}", style="dim") if finding.next else text
