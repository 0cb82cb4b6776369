"""What became of an endpoint's predictions, week by week and arm by arm: the numbers of the report. Never in a layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from quicksilver.drift_policy import DriftPolicy
from quicksilver.instants import utc_iso
from quicksilver.labelled import DAY_MS
from quicksilver.performance.counts import (
    BAD,
    GOOD,
    NOTHING,
    Answered,
    Binned,
    Coverage,
    Group,
    Question,
    together,
)
from quicksilver.performance.judge import judge
from quicksilver.performance.maturity import Maturity
from quicksilver.performance.realised import Realised, realised
from quicksilver.performance.result import Metrics, PerformanceResult
from quicksilver.performance.run import Windows, span_of
from quicksilver.performance.selection import Selection, selection
from quicksilver.query import QueryEngine, Span

WEEK_MS = 7 * DAY_MS
MONDAY_MS = 4 * DAY_MS
"""The epoch began on a Thursday."""
RELIABILITY_BINS = 10


@dataclass(frozen=True, slots=True)
class ArmWeek:
    """One model version in one role in one week (from Monday, UTC). ``estimated`` is the mean of its windows' estimates by
    predictions; None where there is none."""

    start_ms: int
    model: str
    role: str
    answered: Answered
    ripeness: float | None
    realised: Realised | None
    estimated_auc: float | None

    @property
    def labelled(self) -> int:
        return self.answered.approved_labelled + self.answered.declined_labelled


@dataclass(frozen=True, slots=True)
class Reliability:
    """A tenth of a model version's labelled predictions by score: what was said, and what happened."""

    model: str
    score: float
    bad_share: float
    rows: int


@dataclass(frozen=True)
class PerformanceReport:
    """``windows`` are the results of the policy's windows, as a run would put them."""

    endpoint: str
    policy: DriftPolicy
    span: Span
    now_ms: int
    weeks: tuple[ArmWeek, ...]
    windows: tuple[PerformanceResult, ...]
    curve: Maturity
    coverage: Coverage
    selection: Selection
    reliability: tuple[Reliability, ...]
    skipped: int

    @property
    def predictions(self) -> int:
        return sum(week.answered.predictions for week in self.weeks)

    @property
    def labelled(self) -> int:
        return sum(week.labelled for week in self.weeks)

    @property
    def judged(self) -> tuple[PerformanceResult, ...]:
        return tuple(window for window in self.windows if window.judged)

    @property
    def degraded(self) -> tuple[PerformanceResult, ...]:
        return tuple(window for window in self.windows if window.degraded)

    @property
    def sentence(self) -> str:
        """What a reader in a hurry reads."""
        if not self.predictions:
            return f"{self.endpoint} made no predictions in this time."
        if not self.judged:
            expected = [window.estimated.auc for window in self.windows if window.estimated.auc is not None]
            words = f"; AUC of about {expected[-1]:.3f} is expected" if expected else ""
            return f"No window of {self.endpoint} has labels enough to be judged{words}."
        if self.degraded:
            return f"{len(self.degraded)} of {len(self.judged)} judged windows show degradation. Last: {self.degraded[-1].sentence}"
        return (
            f"None of {len(self.judged)} judged windows shows degradation. Last: {self.judged[-1].sentence}"
        )

    def error_of_estimates(self) -> float | None:
        """The mean distance of estimated from realised AUC over the judged windows; None where there is none."""
        errors = [
            abs(window.estimated.auc - window.realised.auc)
            for window in self.judged
            if window.realised and window.realised.auc is not None and window.estimated.auc is not None
        ]
        return sum(errors) / len(errors) if errors else None

    def content(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "endpoint": self.endpoint,
            "from": utc_iso(self.span.start_ms),
            "to": utc_iso(self.span.end_ms),
            "sentence": self.sentence,
            "predictions": self.predictions,
            "labelled": self.labelled,
            "weeks": [_week_content(week) for week in self.weeks],
            "windows": [window.model_dump(mode="json") for window in self.windows],
            "maturity": {
                "known": self.curve.known.tolist(),
                "label_days": self.curve.label_days,
                "ever": self.curve.ever,
            },
            "coverage": {
                "outcomes": self.coverage.outcomes,
                "unknown_by_id": self.coverage.unknown_by_id,
                "unknown_by_entity": self.coverage.unknown_by_entity,
                "early": self.coverage.early,
                "future": self.coverage.future,
                "contradicting": self.coverage.contradicting,
                "since": utc_iso(self.coverage.since_ms),
            },
            "selection": {
                "approved": self.selection.approved,
                "declined": self.selection.declined,
                "sentence": self.selection.sentence,
            },
            "skipped_objects": self.skipped,
        }


def read_report(
    engine: QueryEngine,
    policy: DriftPolicy,
    cutoff: float,
    *,
    now_ms: int,
    since_ms: int | None = None,
    until_ms: int | None = None,
    reference_auc: Callable[[str], float | None],
) -> PerformanceReport:
    """The report on [since, until), by default on all that a run looks at. Raises ``InvalidQuery`` and ``Unavailable``."""
    looked_at = span_of(policy, now_ms)
    length = policy.window_ms
    start_ms = looked_at.start_ms if since_ms is None else since_ms // length * length
    end_ms = looked_at.end_ms if until_ms is None else min(-(-until_ms // length) * length, looked_at.end_ms)
    span = Span(start_ms, max(end_ms, start_ms + length))
    question = Question(
        policy.endpoint,
        # The curve needs what came before, and labels may be of predictions before the report begins.
        Span(min(span.start_ms, looked_at.start_ms), max(span.end_ms, looked_at.end_ms)),
        window_ms=length,
        now_ms=now_ms,
        match_days=policy.performance.match_days,
        cutoff=cutoff,
    )
    with engine.open(question.tables, question.opened, endpoint=policy.endpoint) as archive:
        answered, arrivals = question.answered(archive), question.arrivals(archive)
        coverage = question.coverage(archive, Span(span.start_ms, now_ms + 1))
        skipped = len(archive.skipped)
    windows = Windows(policy, answered, arrivals)
    inside = {
        group: each for group, each in answered.items() if span.start_ms <= group.start_ms < span.end_ms
    }
    results = tuple(
        judge(case, policy)
        for case in windows.cases(cache(reference_auc), now_ms)
        if span.start_ms <= case.window.start_ms < span.end_ms
    )
    return PerformanceReport(
        endpoint=policy.endpoint,
        policy=policy,
        span=span,
        now_ms=now_ms,
        weeks=tuple(_weeks(inside, windows, results)),
        windows=results,
        curve=windows.curve,
        coverage=coverage,
        selection=selection(together(inside.values())),
        reliability=tuple(_reliability(inside)),
        skipped=skipped,
    )


def week_of(start_ms: int) -> int:
    """The Monday, 00:00 UTC, of a moment's week."""
    return (start_ms - MONDAY_MS) // WEEK_MS * WEEK_MS + MONDAY_MS


def _weeks(
    answered: dict[Group, Answered], windows: Windows, results: Iterable[PerformanceResult]
) -> list[ArmWeek]:
    parts: dict[tuple[int, str, str], Answered] = defaultdict(lambda: NOTHING)
    for group, each in answered.items():
        parts[week_of(group.start_ms), group.model, group.role] += each
    ages: dict[int, list[tuple[int, int]]] = defaultdict(list)
    starts = {group.start_ms for group in answered}
    for arrival in windows.arrivals:
        if arrival.start_ms in starts:
            ages[week_of(arrival.start_ms)].append((arrival.age_days, arrival.rows))
    estimates: dict[tuple[int, str], list[tuple[float, int]]] = defaultdict(list)
    for result in results:
        if result.estimated.auc is not None:
            week = week_of(result.window.start_ms)
            estimates[week, result.model].append((result.estimated.auc, result.predictions))
    curve = windows.curve
    return [
        ArmWeek(
            week,
            model,
            role,
            each,
            ripeness=curve.ripeness(ages[week]),
            realised=realised(each.binned),
            estimated_auc=_mean(estimates[week, model]),
        )
        for (week, model, role), each in sorted(parts.items())
    ]


def _mean(values: list[tuple[float, int]]) -> float | None:
    rows = sum(count for _, count in values)
    return sum(value * count for value, count in values) / rows if rows else None


def _reliability(answered: dict[Group, Answered]) -> list[Reliability]:
    by_model: dict[str, Answered] = defaultdict(lambda: NOTHING)
    for group, each in answered.items():
        by_model[group.model] += each
    return [point for model, each in sorted(by_model.items()) for point in _tenths(model, each.binned)]


def _tenths(model: str, binned: Binned) -> list[Reliability]:
    rows, bad = binned.rows[GOOD:].sum(axis=0), binned.rows[BAD]
    score = binned.score[GOOD:].sum(axis=0)
    if not rows.sum():
        return []
    # By the middle of each bin's ranks, so that no bin is cut.
    tenth = ((np.cumsum(rows) - rows / 2) * RELIABILITY_BINS / rows.sum()).astype(np.int64)
    return [
        Reliability(
            model,
            float(score[tenth == place].sum() / rows[tenth == place].sum()),
            float(bad[tenth == place].sum() / rows[tenth == place].sum()),
            int(rows[tenth == place].sum()),
        )
        for place in range(RELIABILITY_BINS)
        if rows[tenth == place].sum()
    ]


def _week_content(week: ArmWeek) -> dict[str, Any]:
    metrics = (
        week.realised.metrics if week.realised else Metrics(auc=None, ks=None, brier=None, calibration=None)
    )
    return {
        "week": utc_iso(week.start_ms),
        "model": week.model,
        "role": week.role,
        "predictions": week.answered.predictions,
        "labelled": week.labelled,
        "bad": week.answered.binned.bad,
        "ripeness": week.ripeness,
        "estimated_auc": week.estimated_auc,
        **metrics.model_dump(),
        "auc_interval": week.realised.auc_interval if week.realised else None,
    }
