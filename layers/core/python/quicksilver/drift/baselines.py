"""What a window is compared with: the reference profile, or the sum of earlier windows of the same model version.

Bins can be summed and compared only if they are the same bins; others are refused, never compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from quicksilver.drift.counts import ArmCounts, Scores, WindowCounts
from quicksilver.drift.result import Baseline
from quicksilver.drift_policy import DriftPolicy, Season
from quicksilver.errors import FieldError, InvalidData
from quicksilver.model_version import ModelName
from quicksilver.monitoring import Window
from quicksilver.profile import CategoryHistogram, NumericHistogram, ReferenceProfile

EARLIER_WINDOWS = 7
"""Approvals and segments are compared with so many windows before: of days, a week."""
SEASON_WEEKS = 4
WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A histogram and how many independent observations its rows are worth. ``approved`` is of scores only."""

    histogram: NumericHistogram | CategoryHistogram
    effective_rows: float
    approved: int = 0

    @property
    def rows(self) -> int:
        return self.histogram.rows

    @property
    def evidence(self) -> float:
        """Independent observations: one at least, and never more than there are rows."""
        return max(1.0, min(self.effective_rows, float(self.rows)))

    def __add__(self, other: Sample) -> Sample:
        return Sample(
            _sum(self.histogram, other.histogram),
            self.effective_rows + other.effective_rows,
            self.approved + other.approved,
        )


@dataclass(frozen=True, slots=True)
class Standard:
    """What the features and the scores of one model version are compared with, each with its own baseline."""

    features: Mapping[str, tuple[Baseline, Sample]]
    score: tuple[Baseline, Sample]


def sample_of(scores: Scores) -> Sample:
    return Sample(scores.score, scores.effective_rows, scores.approved)


def summed(samples: Iterable[Sample]) -> Sample | None:
    """All of them as one; None of none. Raises ``InvalidData`` for different bins."""
    total: Sample | None = None
    for sample in samples:
        total = sample if total is None else total + sample
    return total


def comparable(window: Window, earlier: Sequence[WindowCounts], policy: DriftPolicy) -> list[WindowCounts]:
    """The earlier windows that a window may be compared with: as long, over before it begins, and of the season.

    Windows that alarmed are among them. To leave them out would compare for ever with a time before a change that
    somebody wanted; the reference profile is the standard that does not move.
    """
    length = window.end_ms - window.start_ms
    before = [
        counts
        for counts in earlier
        if counts.window.end_ms - counts.window.start_ms == length and counts.window.end_ms <= window.start_ms
    ]
    if policy.season is Season.WEEKLY:
        starts = {window.start_ms - week * WEEK_MS for week in range(1, SEASON_WEEKS + 1)}
        return [counts for counts in before if counts.window.start_ms in starts]
    return sorted(before, key=lambda counts: counts.window.start_ms)[-EARLIER_WINDOWS:]


def arms_of(model: ModelName, windows: Sequence[WindowCounts]) -> list[ArmCounts]:
    """What a model version answered in each of the windows in which it answered at all."""
    return [arm for counts in windows for arm in counts.arms if arm.model == model and arm.rows]


def reference_standard(profile: ReferenceProfile) -> Standard:
    return Standard(
        {name: (Baseline.REFERENCE, Sample(each, profile.rows)) for name, each in profile.features.items()},
        (Baseline.REFERENCE, Sample(profile.score, profile.rows)),
    )


def seasonal_standard(profile: ReferenceProfile, before: Sequence[ArmCounts]) -> Standard:
    """The sum of earlier arms of one model version; a feature that none of them counted keeps its reference.

    Raises ``InvalidData`` for bins that are not the reference profile's.
    """
    standard = reference_standard(profile)
    features = dict(standard.features)
    for name, histogram in profile.features.items():
        counted = [(arm, arm.features[name]) for arm in before if name in arm.features]
        for arm, each in counted:
            require_same_bins(histogram, each, f"{arm.model}, features.{name}, in an earlier window")
        if total := summed(Sample(each, arm.effective_rows) for arm, each in counted):
            features[name] = (Baseline.SAME_WEEKDAY, total)
    for arm in before:
        require_same_bins(profile.score, arm.score, f"{arm.model}, score, in an earlier window")
    total = summed(sample_of(arm) for arm in before)
    return Standard(features, (Baseline.SAME_WEEKDAY, total) if total else standard.score)


def require_same_bins(
    reference: NumericHistogram | CategoryHistogram,
    current: NumericHistogram | CategoryHistogram,
    field: str,
) -> None:
    """Raises ``InvalidData`` naming the field where two histograms are not over the same bins."""
    if reference.kind == "numeric" and current.kind == "numeric":
        reason = "has other edges" if reference.edges != current.edges else None
    elif reference.kind == "category" and current.kind == "category":
        ours, theirs = len(current.counts), len(reference.counts)
        reason = f"has {ours} categories, not {theirs}" if ours != theirs else None
    else:
        reason = f"is {current.kind}, not {reference.kind}"
    if reason:
        raise InvalidData(
            "Counts over other bins than those of the reference profile cannot be compared with it.",
            [FieldError(field, reason)],
        )


def require_rows(scores: Scores, histogram: NumericHistogram | CategoryHistogram, field: str) -> None:
    """Raises ``InvalidData`` naming the field where a histogram is not of all of an arm's or a segment's rows."""
    if histogram.rows != scores.rows:
        raise InvalidData(
            "A histogram does not count the rows that it is said to be of.",
            [FieldError(field, f"counts {histogram.rows:,} rows, not {scores.rows:,}")],
        )


def _sum(
    one: NumericHistogram | CategoryHistogram, other: NumericHistogram | CategoryHistogram
) -> NumericHistogram | CategoryHistogram:
    require_same_bins(one, other, "histograms of two windows")
    added = {
        "counts": tuple(a + b for a, b in zip(one.counts, other.counts, strict=True)),
        "missing": one.missing + other.missing,
    }
    if one.kind == "category" and other.kind == "category":
        added["unseen"] = one.unseen + other.unseen
    return one.model_copy(update=added)
