"""Counting one window: slice by slice in the engine, and what the slices come to.

Memory is bounded whatever the window: the engine sees a slice of all columns at a time, Python its bins, and over the whole
window only who answered whom, which the engine may keep on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from quicksilver.archive import PREDICTIONS
from quicksilver.drift.counts import ArmCounts, SegmentCounts, WindowCounts
from quicksilver.drift.histogram_sql import (
    Binning,
    added,
    causes_sql,
    count_sql,
    evidence_sql,
    overview_sql,
)
from quicksilver.drift.models import ModelReader
from quicksilver.features import Cause
from quicksilver.monitoring import Window
from quicksilver.prediction import Status
from quicksilver.query import OpenArchive, QueryEngine, Span
from quicksilver.routing import Role

AT_ONCE = 50_000
"""So many predictions are counted in one go, whatever the engine's slices: with fewer, asking takes longer than counting."""


@dataclass(frozen=True, slots=True)
class WindowCounter:
    """Counts windows of one endpoint. ``segments`` are features each of whose values is a segment; up to ``at_once``
    predictions are counted without slices."""

    endpoint: str
    engine: QueryEngine
    models: ModelReader
    segments: Sequence[str] = ()
    at_once: int = AT_ONCE

    def archived(self, window: Window) -> tuple[int, tuple[str, ...]]:
        """How many predictions the archive has of a window now, and the objects of it that cannot be read.

        Raises ``Unavailable``.
        """
        span = Span(window.start_ms, window.end_ms)
        with self.engine.open([PREDICTIONS.name], span, endpoint=self.endpoint) as archive:
            ((count,),) = archive.query(count_sql(self.endpoint, span)).rows
            return int(count), _skipped(archive)

    def count(self, window: Window, *, rolled_up: int | None) -> WindowCounts:
        """Everything that is counted in a window. Raises ``Unavailable``, where a package cannot be read for now too."""
        span = Span(window.start_ms, window.end_ms)
        with self.engine.open([PREDICTIONS.name], span, endpoint=self.endpoint) as archive:
            tally = _Tally(self.endpoint, archive, self.models, self.segments)
            for part in span.slices(self._slice_ms(archive, span)):
                tally.add(part)
            return WindowCounts(
                endpoint=self.endpoint,
                window=window,
                archived=tally.archived,
                fallbacks=tally.fallbacks,
                rolled_up=rolled_up,
                unprofiled=dict(sorted(tally.unprofiled.items())),
                arms=tuple(tally.arms(span)),
                segments=tuple(tally.segment_counts(span)),
                skipped=_skipped(archive),
            )

    def _slice_ms(self, archive: OpenArchive, span: Span) -> int | None:
        if self.engine.slice_ms is None:
            return None
        ((predictions,),) = archive.query(count_sql(self.endpoint, span)).rows
        return None if predictions <= self.at_once else self.engine.slice_ms


@dataclass(slots=True)
class _Arm:
    """What one model version came to so far."""

    binning: Binning
    package_sha256: str
    fingerprint: str
    roles: set[Role] = field(default_factory=set)
    sums: tuple[int, ...] | None = None
    causes: Counter[tuple[str, Cause]] = field(default_factory=Counter)
    explained_in: Span | None = None
    segments: dict[tuple[int, float | None], tuple[int, ...]] = field(default_factory=dict)


class _Tally:
    def __init__(
        self, endpoint: str, archive: OpenArchive, models: ModelReader, segments: Sequence[str]
    ) -> None:
        self._endpoint, self._archive, self._models, self._segments = endpoint, archive, models, segments
        self._arms: dict[str, _Arm] = {}
        self.archived = 0
        self.fallbacks = 0
        self.unprofiled: Counter[str] = Counter()

    def add(self, span: Span) -> None:
        """Count one slice more."""
        answering = set()
        for row in self._rows(overview_sql(self._endpoint, span)):
            model, package_sha256, fingerprint, role, status, predictions, explained = row
            self.archived += predictions
            if status == Status.FALLBACK:
                self.fallbacks += predictions
                continue
            arm = self._arm(model, package_sha256, fingerprint)
            if arm is None:
                self.unprofiled[model] += predictions
                continue
            answering.add(model)
            arm.roles.add(Role(role))
            if explained:
                arm.explained_in = span
        for model in sorted(answering):
            self._add_histograms(self._arms[model], span)
        if answering:
            self._add_causes(span, answering)

    def arms(self, window: Span) -> Iterator[ArmCounts]:
        """By model version, in the order of their numbers."""
        evidence = self._rows(evidence_sql(self._endpoint, window)) if self._arms else ()
        effective: dict[str, float] = {row[0]: row[1] for row in evidence}
        for model, arm in self._in_order():
            if arm.sums is None:
                continue
            rows, approved, score = arm.binning.scores(arm.sums)
            causes: dict[str, dict[Cause, int]] = {}
            for (feature, cause), count in sorted(arm.causes.items()):
                causes.setdefault(feature, {})[cause] = count
            yield ArmCounts(
                model=model,
                package_sha256=arm.package_sha256,
                fingerprint=arm.fingerprint,
                roles=tuple(sorted(arm.roles)),
                rows=rows,
                effective_rows=effective[model],
                approved=approved,
                score=score,
                features=dict(arm.binning.features(arm.sums, arm.causes)),
                causes=causes,
                importance=self._importance(arm),
            )

    def segment_counts(self, window: Span) -> Iterator[SegmentCounts]:
        for model, arm in self._in_order():
            effective = {
                (place, code): rows
                for place in arm.binning.places(self._segments)
                for code, rows in self._rows(arm.binning.segment_evidence_sql(self._endpoint, window, place))
            }
            for (place, code), sums in sorted(arm.segments.items(), key=lambda each: repr(each[0])):
                rows, approved, score = arm.binning.scores(sums)
                yield SegmentCounts(
                    model=model,
                    feature=arm.binning.contract.names[place - 1],
                    value=arm.binning.value(place, code),
                    rows=rows,
                    effective_rows=effective[place, code],
                    approved=approved,
                    score=score,
                )

    def _arm(self, model: str, package_sha256: str, fingerprint: str) -> _Arm | None:
        if model not in self._arms:
            binning = self._models.binning(model, package_sha256)
            if binning is None:
                return None
            self._arms[model] = _Arm(binning, package_sha256, fingerprint)
        return self._arms[model]

    def _add_histograms(self, arm: _Arm, span: Span) -> None:
        (row,) = self._rows(arm.binning.histograms_sql(self._endpoint, span))
        arm.sums = added(arm.sums, row)
        if arm.binning.places(self._segments):
            for place, code, *sums in self._rows(
                arm.binning.segments_sql(self._endpoint, span, self._segments)
            ):
                key = (place, code)
                arm.segments[key] = added(arm.segments.get(key), sums)

    def _add_causes(self, span: Span, answering: set[str]) -> None:
        for model, feature, cause, answers in self._rows(causes_sql(self._endpoint, span)):
            if model in answering and feature in self._arms[model].binning.contract.names:
                self._arms[model].causes[feature, Cause(cause)] += answers

    def _importance(self, arm: _Arm) -> dict[str, float]:
        """Contributions are as many bytes as the vectors, so those of one slice stand for all: the latest with any."""
        if arm.explained_in is None:
            return {}
        (means,) = self._rows(arm.binning.importance_sql(self._endpoint, arm.explained_in))
        names = arm.binning.contract.names
        return {name: mean for name, mean in zip(names, means, strict=True) if mean is not None}

    def _in_order(self) -> list[tuple[str, _Arm]]:
        return sorted(self._arms.items(), key=lambda each: int(each[0].rpartition("@")[2]))

    def _rows(self, sql: str) -> Sequence[Sequence[Any]]:
        return self._archive.query(sql).rows


def _skipped(archive: OpenArchive) -> tuple[str, ...]:
    return tuple(sorted({each.key for each in archive.skipped}))
