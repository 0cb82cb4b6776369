"""How well a model did, from scores in bins with the labels that have come. Tied scores are those of one bin.

- AUC and its interval: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44(3), equations 1 to 6; a tie counts half.
- KS: the largest distance between the distributions of the scores of bad and good ones.
- Brier score: Brier 1950, Monthly Weather Review 78(1); of the scores themselves and not of their bins.
- Calibration: the expected calibration error over ten bins of equal mass (Nguyen & O'Connor 2015, section 4), never cut
  across a tie: the sum over bins of |sum of (label - score)| over all rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from quicksilver.performance.counts import BAD, GOOD, Binned, Floats, Ints
from quicksilver.performance.result import Metrics

CONFIDENCE = 0.95
CALIBRATION_BINS = 10


@dataclass(frozen=True, slots=True)
class Realised:
    """``auc_interval`` is two-sided at ``CONFIDENCE``; None where one class has fewer than two rows."""

    metrics: Metrics
    auc_interval: tuple[float, float] | None


def realised(binned: Binned) -> Realised | None:
    """The metrics of the labelled rows; None where there is none."""
    good, bad = binned.rows[GOOD], binned.rows[BAD]
    rows = int((good + bad).sum())
    if not rows:
        return None
    of_labelled = binned.score[GOOD:].sum(axis=0)
    brier = (binned.square[GOOD:].sum() - 2 * binned.score[BAD].sum() + bad.sum()) / rows
    auc = ks = interval = None
    if good.sum() and bad.sum():
        auc, ks = auc_of(good, bad), ks_of(good, bad)
        interval = _interval(auc, good, bad)
    return Realised(
        Metrics(
            auc=auc,
            ks=ks,
            brier=max(0.0, float(brier)),
            calibration=_calibration(good + bad, of_labelled, bad),
        ),
        interval,
    )


def auc_of(good: Floats | Ints, bad: Floats | Ints) -> float:
    """The probability that a bad one's bin is above a good one's, ties counting half; by rising score, shape (bins,).

    Weights may be expectations.
    """
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / (good.sum() * bad.sum()))


def ks_of(good: Floats | Ints, bad: Floats | Ints) -> float:
    return float(np.abs(np.cumsum(good) / good.sum() - np.cumsum(bad) / bad.sum()).max())


def _interval(auc: float, good: Ints, bad: Ints) -> tuple[float, float] | None:
    goods, bads = int(good.sum()), int(bad.sum())
    if min(goods, bads) < 2:
        return None
    of_bad = (np.cumsum(good) - good + good / 2) / goods
    of_good = (bads - np.cumsum(bad) + bad / 2) / bads
    variance = (bad * (of_bad - auc) ** 2).sum() / (bads - 1) / bads
    variance += (good * (of_good - auc) ** 2).sum() / (goods - 1) / goods
    half = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * math.sqrt(float(variance))
    return max(0.0, auc - half), min(1.0, auc + half)


def _calibration(rows: Ints, score: Floats, bad: Ints) -> float:
    """``rows``, sums of scores and bad ones of each bin, by rising score."""
    some = rows > 0
    rows, score, bad = rows[some], score[some], bad[some]
    mean = score / rows
    edges = np.unique(_quantiles(mean, rows, np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS))
    places = np.searchsorted(edges, mean, side="left")
    gaps = np.bincount(places, weights=bad - score, minlength=len(edges) + 1)
    return float(np.abs(gaps).sum() / rows.sum())


def _quantiles(values: Floats, rows: Ints, shares: Floats) -> Floats:
    """Linear quantiles (``numpy.quantile``) of rising values that occur so often each."""
    last = np.cumsum(rows)
    place = shares * (last[-1] - 1)
    low = np.floor(place).astype(np.int64)
    low_value = values[np.searchsorted(last, low, side="right")]
    high_value = values[np.searchsorted(last, np.minimum(low + 1, last[-1] - 1), side="right")]
    return np.asarray(low_value + (high_value - low_value) * (place - low), dtype=np.float64)
