"""The statistics of the gates: ranking, calibration and rates, each with an interval and its source.

Scores are probabilities of the bad outcome, ``target`` is True where it came; both have shape (rows,) and
both classes occur. Every interval is two-sided at ``confidence``.

- AUC and its variance: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44(3); computed in O(n log n) by
  midranks: Sun & Xu 2014, IEEE Signal Processing Letters 21(11).
- KS, Brier score, log loss, ECE: basic bootstrap, Davison & Hinkley 1997, section 5.2.1, which takes out the
  upward bias that a maximum and a mean of absolute values have in a resample.
- Rates: Wilson 1927 for one; Newcombe 1998, Statistics in Medicine 17, method 10, for a difference; Katz
  et al. 1978, Biometrics 34(3), for a ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from quicksilver.frame import Bools, Floats, Ints

ECE_BINS = 10
_CHUNK_CELLS = 2_000_000
"""Resample weights held at once: 16 MB, whatever the number of rows."""
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float
    low: float
    high: float


def normal_quantile(confidence: float) -> float:
    """How many standard errors a two-sided interval reaches: 1.96 at 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


# --- AUC -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RocComponents:
    """DeLong's structural components: ``of_bad`` per bad row (V10), ``of_good`` per good row (V01)."""

    auc: float
    of_bad: Floats
    of_good: Floats


def roc_components(scores: Floats, target: Bools) -> RocComponents:
    """``of_bad[i]`` is the share of good rows that bad row i outranks, ties counting half; and the reverse.

    Sun & Xu 2014, equations 5 to 8, with midranks of the bad, the good and all rows.
    """
    bad, good = scores[target], scores[~target]
    ranks = midranks(np.concatenate([bad, good]))
    of_bad = (ranks[: len(bad)] - midranks(bad)) / len(good)
    of_good = 1.0 - (ranks[len(bad) :] - midranks(good)) / len(bad)
    return RocComponents(float(of_bad.mean()), of_bad, of_good)


def midranks(values: Floats) -> Floats:
    """Ranks from 1; tied values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place], dtype=np.float64)


def auc_covariance(left: RocComponents, right: RocComponents) -> float:
    """The covariance of two AUCs on the same rows; of one with itself, its variance. 0 for a lone row of a class."""

    def part(a: Floats, b: Floats) -> float:
        return 0.0 if len(a) < 2 else float(np.dot(a - a.mean(), b - b.mean()) / (len(a) - 1)) / len(a)

    return part(left.of_bad, right.of_bad) + part(left.of_good, right.of_good)


def auc_estimate(components: RocComponents, confidence: float) -> Estimate:
    """The AUC with DeLong's interval, cut to [0, 1]."""
    half = normal_quantile(confidence) * math.sqrt(auc_covariance(components, components))
    return Estimate(components.auc, max(0.0, components.auc - half), min(1.0, components.auc + half))


def auc_difference(left: RocComponents, right: RocComponents, confidence: float) -> Estimate:
    """``left`` minus ``right`` on the same rows, with DeLong's interval for correlated curves."""
    variance = auc_covariance(left, left) + auc_covariance(right, right) - 2 * auc_covariance(left, right)
    value = left.auc - right.auc
    half = normal_quantile(confidence) * math.sqrt(max(0.0, variance))
    return Estimate(value, value - half, value + half)


# --- KS, Brier, log loss, ECE, as functions of row weights ------------------------------------------------


class Metrics:
    """KS, Brier score, log loss (nats) and ECE of one set of scores, for any weights of its rows.

    Scores are sorted once; a resample is then a vector of counts, and no sort. ECE is over ten bins of equal
    mass (Nguyen & O'Connor 2015, section 4), frozen on the rows themselves and never across a tie:
    sum over bins of |sum of (target - score)| / rows, which is the usual weighted mean of bins' gaps.
    """

    names = ("ks", "brier", "log_loss", "ece")

    def __init__(self, scores: Floats, target: Bools) -> None:
        order = np.argsort(scores, kind="stable")
        ranked, bad = scores[order], target[order].astype(np.float64)
        self._order: Ints = order.astype(np.int64)
        self._bad: Floats = bad
        # Tied scores are one threshold: only the last row of a tie is a point of the curve.
        self._corners: Ints = np.flatnonzero(np.append(np.diff(ranked) != 0, True)).astype(np.int64)
        # As scikit-learn's log_loss does: a probability of 0 or 1 is moved by one machine epsilon.
        sure = np.clip(ranked, _EPSILON, 1 - _EPSILON)
        losses = [(ranked - bad) ** 2, -np.log(np.where(bad > 0, sure, 1 - sure))]
        residual = bad - ranked
        edges = np.unique(np.quantile(ranked, np.arange(1, ECE_BINS) / ECE_BINS))
        bins = np.searchsorted(edges, ranked, side="left")
        parts = [np.where(bins == place, residual, 0.0) for place in range(len(edges) + 1)]
        self._linear: Floats = np.column_stack([*losses, *parts])

    def values(self, weights: Floats | None = None) -> Floats:
        """The four metrics, shape (4,) or (resamples, 4), in the order of ``names``.

        ``weights`` counts each row, shape (resamples, rows), in the rows' own order. A resample without one
        of the classes has a KS of NaN.
        """
        if weights is None:
            return np.asarray(self.values(np.ones((1, len(self._bad))))[0])
        ranked = weights[:, self._order]
        total = ranked.sum(axis=1)
        bad = ranked @ self._bad
        with np.errstate(divide="ignore", invalid="ignore"):
            step = self._bad / bad[:, None] - (1 - self._bad) / (total - bad)[:, None]
            curve = np.cumsum(ranked * step, axis=1)
        ks = np.abs(curve[:, self._corners]).max(axis=1)
        sums = ranked @ self._linear / total[:, None]
        return np.column_stack([ks, sums[:, 0], sums[:, 1], np.abs(sums[:, 2:]).sum(axis=1)])


def resample_weights(rows: int, samples: int, seed: int) -> Iterator[Floats]:
    """Multinomial weights of bootstrap resamples, in pieces of shape (some, rows): how often each row is drawn."""
    rng = np.random.default_rng(seed)
    piece = max(1, _CHUNK_CELLS // rows)
    for start in range(0, samples, piece):
        count = min(piece, samples - start)
        drawn = rng.integers(0, rows, (count, rows))
        drawn += (np.arange(count) * rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What resampling gave: metrics in the order of ``Metrics.names``; ``resampled`` has shape (samples, 4)."""

    value: Floats
    resampled: Floats

    def estimate(self, metric: str, confidence: float) -> Estimate:
        """The metric with its basic bootstrap interval; no metric here is below 0."""
        place = Metrics.names.index(metric)
        return _basic(float(self.value[place]), self.resampled[:, place], confidence, floor=0.0)

    def difference(self, other: Bootstrap, metric: str, confidence: float) -> Estimate:
        """This one's metric minus the other's, both resampled by the same weights."""
        place = Metrics.names.index(metric)
        value = float(self.value[place] - other.value[place])
        return _basic(value, self.resampled[:, place] - other.resampled[:, place], confidence)


def bootstrap(
    metrics: list[Metrics],
    rows: int,
    samples: int,
    seed: int,
    step: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Bootstrap]:
    """Resample several sets of scores of the same rows by the same weights, so that differences are paired."""
    pieces: list[list[Floats]] = [[] for _ in metrics]
    done = 0
    for weights in resample_weights(rows, samples, seed):
        for place, metric in enumerate(metrics):
            pieces[place].append(metric.values(weights))
        done += len(weights)
        step(done, samples)
    return [
        Bootstrap(metric.values(), np.concatenate(piece))
        for metric, piece in zip(metrics, pieces, strict=True)
    ]


def _basic(value: float, resampled: Floats, confidence: float, floor: float = -math.inf) -> Estimate:
    usable = resampled[~np.isnan(resampled)]
    if not len(usable):
        return Estimate(value, value, value)
    low, high = np.quantile(usable, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, max(floor, 2 * value - float(high)), max(floor, 2 * value - float(low)))


# --- Rates -----------------------------------------------------------------------------------------------


def wilson(count: int, rows: int, confidence: float) -> Interval:
    """The score interval of a share. Raises ``ValueError`` for no rows."""
    if rows < 1:
        raise ValueError("a share needs rows")
    z = normal_quantile(confidence)
    share = count / rows
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return Interval(
        0.0 if count == 0 else max(0.0, centre - half), 1.0 if count == rows else min(1.0, centre + half)
    )


def share_difference(count: int, rows: int, other_count: int, other_rows: int, confidence: float) -> Estimate:
    """One share minus another of independent rows, with Newcombe's hybrid score interval."""
    share, other = count / rows, other_count / other_rows
    own, others = wilson(count, rows, confidence), wilson(other_count, other_rows, confidence)
    value = share - other
    return Estimate(
        value,
        value - math.hypot(share - own.low, others.high - other),
        value + math.hypot(own.high - share, other - others.low),
    )


def share_ratio(count: int, rows: int, other_count: int, other_rows: int, confidence: float) -> Estimate:
    """One share over another of independent rows, with Katz's log interval; from 0 where the first is 0.

    Raises ``ValueError`` where the other share is 0.
    """
    if not other_count:
        raise ValueError("a ratio to nothing")
    ratio = (count / rows) / (other_count / other_rows)
    if not count:
        # No event has no logarithm: the upper end is that of half an event, as for Haldane's correction.
        return Estimate(0.0, 0.0, share_ratio_high(0.5, rows, other_count, other_rows, confidence))
    error = math.sqrt((1 / count - 1 / rows) + (1 / other_count - 1 / other_rows))
    factor = math.exp(normal_quantile(confidence) * error)
    return Estimate(ratio, ratio / factor, ratio * factor)


def share_ratio_high(count: float, rows: int, other_count: int, other_rows: int, confidence: float) -> float:
    error = math.sqrt((1 / count - 1 / (rows + 0.5)) + (1 / other_count - 1 / other_rows))
    return (count / rows) / (other_count / other_rows) * math.exp(normal_quantile(confidence) * error)


def mean_estimate(values: NDArray[np.float64], confidence: float) -> Estimate:
    """A mean with its normal interval; of one row, without a width that could be known."""
    mean = float(values.mean())
    half = 0.0
    if len(values) > 1:
        half = normal_quantile(confidence) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)
