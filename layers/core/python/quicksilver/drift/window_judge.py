"""Judging a window of one endpoint: count it, read what it is compared with, judge. Nothing is kept here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from quicksilver.drift.counting import WindowCounter
from quicksilver.drift.counts import WindowCounts
from quicksilver.drift.histogram_sql import Binning
from quicksilver.drift.models import ModelReader
from quicksilver.drift.result import Finding, WindowResult
from quicksilver.drift.windows import earlier_windows, require_over
from quicksilver.drift_policy import DriftPolicy
from quicksilver.instants import utc_iso
from quicksilver.model_version import ModelName
from quicksilver.monitoring import Kind, MonitoringStore, Window, read_document
from quicksilver.ports import ArtifactStore, Clock, RollupStore
from quicksilver.profile import ReferenceProfile
from quicksilver.query import QueryEngine
from quicksilver.rollup_counts import KEEP_DAYS

DAY_MS = 86_400_000


class Judge(Protocol):
    """``judgement.judge``."""

    def __call__(
        self,
        counts: WindowCounts,
        profiles: Mapping[ModelName, ReferenceProfile],
        earlier: Sequence[WindowCounts],
        policy: DriftPolicy,
    ) -> tuple[tuple[Finding, ...], tuple[str, ...]]: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """A window's result, those before it that it was compared with, and what its answers were counted by."""

    result: WindowResult
    earlier: tuple[WindowResult, ...]
    binnings: Mapping[ModelName, Binning]


@dataclass(frozen=True, slots=True)
class WindowJudge:
    """Judges windows of the policy's endpoint. ``cutoff``: scores below it are approved. Calls raise ``Unavailable``."""

    policy: DriftPolicy
    cutoff: float
    engine: QueryEngine
    rollup: RollupStore
    artifacts: ArtifactStore
    monitoring: MonitoringStore
    clock: Clock
    judge: Judge

    @property
    def endpoint(self) -> str:
        return self.policy.endpoint

    def judged(
        self, window: Window, *, revision: int = 1, before: Mapping[str, WindowResult] | None = None
    ) -> Judged:
        """Count a window and judge it, against the windows ``before`` it where they are given, by name, and else those
        that are kept. Raises ``InvalidParameter`` for a window that is not over."""
        require_over(window, self.clock.now_ms())
        models = ModelReader(self.artifacts, self.cutoff)
        counts = self._counter(models).count(window, rolled_up=self._rolled_up(window))
        binnings = {
            arm.model: binning
            for arm in counts.arms
            if (binning := models.binning(arm.model, arm.package_sha256)) is not None
        }
        profiles = {model: binning.profile for model, binning in binnings.items()}
        earlier = tuple(
            result
            for each in earlier_windows(self.policy, window)
            if (result := (before or {}).get(each.name) or self.kept(each.name)) is not None
        )
        findings, notes = self.judge(counts, profiles, [each.counts for each in earlier], self.policy)
        result = WindowResult(
            endpoint=self.endpoint,
            policy_version=self.policy.version,
            revision=revision,
            judged_at=utc_iso(self.clock.now_ms()),
            counts=counts,
            findings=findings,
            notes=notes,
        )
        return Judged(result, earlier, binnings)

    def backtest(self, windows: Sequence[Window]) -> Iterator[Judged]:
        """Judge windows in this order as if nobody had yet, each compared with those just judged."""
        before: dict[str, WindowResult] = {}
        for window in windows:
            judged = self.judged(window, before=before)
            before[window.name] = judged.result
            yield judged

    def has_changed(self, result: WindowResult) -> bool:
        """Whether the archive has other records of a judged window than were counted.

        What holds all the records that the rollup has counted can get no more, and is not opened again.
        """
        counts = result.counts
        if counts.archived == self._rolled_up(counts.window) and not counts.skipped:
            return False
        models = ModelReader(self.artifacts, self.cutoff)
        return self._counter(models).archived(counts.window) != (counts.archived, counts.skipped)

    def kept(self, name: str) -> WindowResult | None:
        """The result that is kept under a window's name."""
        return read_document(self.monitoring, Kind.DRIFT, self.endpoint, name, WindowResult)

    def kept_since(self, start_ms: int) -> list[WindowResult]:
        """Every result that is kept of windows that start at a moment or later, by their start."""
        since = Window(start_ms=start_ms, end_ms=start_ms).name
        names = self.monitoring.names(Kind.DRIFT, self.endpoint, since=since)
        return [result for name in names if (result := self.kept(name)) is not None]

    def _counter(self, models: ModelReader) -> WindowCounter:
        return WindowCounter(self.endpoint, self.engine, models, self.policy.segments)

    def _rolled_up(self, window: Window) -> int | None:
        """How many predictions the rollup counted in a window; None of one that it may have begun to forget."""
        if window.start_ms < self.clock.now_ms() - (KEEP_DAYS - 1) * DAY_MS:
            return None
        periods = self.rollup.periods(self.endpoint, since_ms=window.start_ms, until_ms=window.end_ms)
        return sum(counts.requests for period in periods for counts in period.arms.values())
