"""The hypotheses of a window: each an effect, its limit, and two samples of bins that chance is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quicksilver.drift import statistics
from quicksilver.drift.baselines import Sample
from quicksilver.drift.result import Aspect, Baseline, Distances
from quicksilver.drift.significance import outside, p_value, thinned
from quicksilver.drift.statistics import Counts
from quicksilver.drift_policy import Effects
from quicksilver.model_version import ModelName
from quicksilver.profile import CategoryHistogram, NumericHistogram


@dataclass(frozen=True, slots=True)
class Subject:
    """What a hypothesis is about: of a model version a feature or (None) its scores, in all of its traffic or a segment."""

    model: ModelName
    feature: str | None = None
    segment: tuple[str, str | None] | None = None
    importance: float | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """``reference`` and ``current`` are the samples as evidence, shape (bins,): thinned to what their rows are worth.

    ``shares`` are the baseline's and the window's, where the effect is their difference; ``rise`` is which way numbers moved.
    Where ``own_range``, the last of two bins is what lies outside a range that the reference made itself.
    """

    subject: Subject
    aspect: Aspect
    baseline: Baseline
    baseline_rows: int
    rows: int
    effect: float
    limit: float
    reference: Counts
    current: Counts
    shares: tuple[float, float] | None = None
    distances: Distances | None = None
    rise: float | None = None
    own_range: bool = False

    def p_value(self, *, draws: int) -> float:
        if self.own_range:
            return outside(int(self.current[1]), int(self.current.sum()), int(self.reference.sum()))
        return p_value(self.reference, self.current, draws=draws)


def of_feature(
    subject: Subject, baseline: Baseline, reference: Sample, current: Sample, limits: Effects
) -> Iterator[Hypothesis]:
    """All that is asked of one feature: its distribution, what is missing, what is unseen or outside the range."""
    yield of_distribution(subject, baseline, reference, current, limits)
    was, now = reference.histogram, current.histogram
    missing = (was.missing, now.missing)
    yield _of_share(
        subject, Aspect.MISSING, baseline, reference, current, missing, (was.rows, now.rows), limits.missing
    )
    if was.kind == "category" and now.kind == "category":
        unseen = (was.unseen, now.unseen)
        yield _of_share(
            subject, Aspect.UNSEEN, baseline, reference, current, unseen, (was.rows, now.rows), limits.unseen
        )
    else:
        beyond = (_outside(was), _outside(now))
        there = (sum(was.counts), sum(now.counts))
        yield _of_share(
            subject, Aspect.OUT_OF_RANGE, baseline, reference, current, beyond, there, limits.out_of_range
        )


def of_distribution(
    subject: Subject, baseline: Baseline, reference: Sample, current: Sample, limits: Effects
) -> Hypothesis:
    """All bins together. The effect is the PSI less what chance adds to it at these sizes, and 0 at least.

    Chance is asked about the bins with the two open ones counted to their neighbours: the edges are the reference's own
    smallest and largest value, so a row beyond them is never the reference's, and it has a hypothesis to itself.
    """
    was, now = reference.histogram, current.histogram
    return Hypothesis(
        subject, Aspect.DISTRIBUTION, baseline, reference.rows, current.rows,
        effect=max(0.0, corrected_psi(reference, current)),
        limit=limits.psi,
        reference=thinned(_folded(was), reference.evidence),
        current=thinned(_folded(now), current.evidence),
        distances=distances(was, now),
        rise=statistics.rise(was, now) if was.kind == "numeric" and now.kind == "numeric" else None,
    )  # fmt: skip


def of_approval(
    subject: Subject, baseline: Baseline, reference: Sample, current: Sample, limits: Effects
) -> Hypothesis:
    approved = (reference.approved, current.approved)
    rows = (reference.rows, current.rows)
    return _of_share(subject, Aspect.APPROVAL, baseline, reference, current, approved, rows, limits.approval)


def corrected_psi(reference: Sample, current: Sample) -> float:
    """The PSI of all bins less what chance adds to it, at the sizes that the samples are worth. Below 0 at times."""
    was, now = statistics.bins_of(reference.histogram), statistics.bins_of(current.histogram)
    bins = int(np.count_nonzero(was + now))
    return statistics.psi(was, now) - statistics.psi_by_chance(bins, reference.evidence, current.evidence)


def distances(
    was: NumericHistogram | CategoryHistogram, now: NumericHistogram | CategoryHistogram
) -> Distances:
    before, after = statistics.bins_of(was), statistics.bins_of(now)
    numbers = (was, now) if was.kind == "numeric" and now.kind == "numeric" else None
    return Distances(
        psi=statistics.psi(before, after),
        jensen_shannon=statistics.jensen_shannon(before, after),
        kolmogorov_smirnov=statistics.kolmogorov_smirnov(*numbers) if numbers else None,
        wasserstein=statistics.wasserstein(*numbers) if numbers else None,
        chi_square=statistics.chi_square(before, after),
    )


def _of_share(
    subject: Subject,
    aspect: Aspect,
    baseline: Baseline,
    reference: Sample,
    current: Sample,
    hits: tuple[int, int],
    of: tuple[int, int],
    limit: float,
) -> Hypothesis:
    """Two shares of two samples, ``hits`` out of ``of``; a share of nothing is 0."""
    shares = (hits[0] / of[0] if of[0] else 0.0, hits[1] / of[1] if of[1] else 0.0)
    return Hypothesis(
        subject, aspect, baseline, reference.rows, current.rows,
        effect=abs(shares[1] - shares[0]) if all(of) else 0.0,
        limit=limit,
        reference=thinned(np.array([of[0] - hits[0], hits[0]]), reference.evidence * of[0] / reference.rows),
        current=thinned(np.array([of[1] - hits[1], hits[1]]), current.evidence * of[1] / current.rows),
        shares=shares,
        own_range=aspect is Aspect.OUT_OF_RANGE and baseline is Baseline.REFERENCE and not hits[0],
    )  # fmt: skip


def _outside(histogram: NumericHistogram | CategoryHistogram) -> int:
    return histogram.counts[0] + histogram.counts[-1]


def _folded(histogram: NumericHistogram | CategoryHistogram) -> Counts:
    """Its bins, with what lies outside the range counted to the bins at the ends of it."""
    bins = statistics.bins_of(histogram)
    if histogram.kind == "category":
        return bins
    values, apart = bins[:-1], bins[-1:]
    if len(values) <= 3:
        return np.concatenate([values.sum(keepdims=True), apart])
    inner = values[1:-1].copy()
    inner[0] += values[0]
    inner[-1] += values[-1]
    return np.concatenate([inner, apart])
