"""How far two histograms over the same bins are apart: effects, not evidence (that is ``significance``).

All take counts of shape (bins,), the reference's first. Bins that are empty in both are left out. What is missing and what
is unseen are bins of their own, and so is what lies outside the reference's range.

- PSI: Siddiqi 2006, Credit Risk Scorecards, ch. 6; it is Jeffreys' divergence (Jeffreys 1946, Proc. R. Soc. A 186).
- What chance adds to it: Yurdakul & Naranjo 2020, Journal of Risk Model Validation 14(4), section 2.
- Jensen-Shannon distance: Endres & Schindelin 2003, IEEE Transactions on Information Theory 49(7).
- Kolmogorov-Smirnov on bins: Conover 1999, Practical Nonparametric Statistics, section 6.3, at the edges only.
- Wasserstein-1 on the line: Vallender 1974, Theory of Probability and its Applications 18(4).
- Chi-square of homogeneity: Pearson 1911, Biometrika 8(1/2).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from quicksilver.profile import CategoryHistogram, NumericHistogram

Counts: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


def bins_of(histogram: NumericHistogram | CategoryHistogram) -> Counts:
    """Every bin of a histogram: its counts, what is unseen (categories), what is missing."""
    apart = (histogram.missing,) if histogram.kind == "numeric" else (histogram.unseen, histogram.missing)
    return np.array((*histogram.counts, *apart), dtype=np.int64)


def filled(reference: Counts, current: Counts) -> tuple[Counts, Counts]:
    """The bins that are not empty in both. Raises ``ValueError`` where a whole sample is empty or bins do not match."""
    if reference.shape != current.shape:
        raise ValueError("two histograms can be compared over the same bins only")
    if not reference.sum() or not current.sum():
        raise ValueError("a histogram of no rows is like none")
    kept = reference + current > 0
    return reference[kept], current[kept]


def psi(reference: Counts, current: Counts) -> float:
    """The population stability index, sum of (q - p) ln(q / p), in nats.

    An empty bin would make it infinite. Each bin is given one row more, which the two samples share in the proportion of
    their sizes: half a row per bin and sample is Krichevsky and Trofimov's estimator (1981, IEEE Transactions on Information
    Theory 27(2)), and shared so, samples of the same proportions have a PSI of 0 whatever their sizes. A bin that the
    reference has no row in counts as one row in all of both samples.
    """
    of_reference, of_current = filled(reference, current)
    rows, others = int(of_reference.sum()), int(of_current.sum())
    p = _smoothed(of_reference, rows / (rows + others))
    q = _smoothed(of_current, others / (rows + others))
    return float(np.sum((q - p) * np.log(q / p)))


def _smoothed(counts: Counts, added: float) -> Floats:
    return np.asarray((counts + added) / (counts.sum() + added * len(counts)))


def psi_by_chance(bins: int, rows: float, others: float) -> float:
    """The PSI that two samples of one distribution have on average: (K - 1)(1/n + 1/N), for K bins that occur."""
    return (bins - 1) * (1 / rows + 1 / others)


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """The Jensen-Shannon distance: the root of the divergence in bits, from 0 to 1."""
    of_reference, of_current = filled(reference, current)
    p, q = of_reference / of_reference.sum(), of_current / of_current.sum()
    middle = (p + q) / 2
    bits = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2 / np.log(2)
    return float(np.sqrt(max(0.0, bits)))


def _relative_entropy(p: Floats, q: Floats) -> float:
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / q[there])))


def chi_square(reference: Counts, current: Counts) -> float:
    """Pearson's statistic of homogeneity, with no correction for continuity; of K bins it has K - 1 degrees of freedom."""
    of_reference, of_current = filled(reference, current)
    expected, others = expected_counts(of_reference, of_current)
    return float(
        np.sum((of_reference - expected) ** 2 / expected) + np.sum((of_current - others) ** 2 / others)
    )


def expected_counts(reference: Counts, current: Counts) -> tuple[Floats, Floats]:
    """What each sample would hold in each bin if both were of one distribution."""
    pooled = (reference + current) / (reference.sum() + current.sum())
    return pooled * reference.sum(), pooled * current.sum()


def kolmogorov_smirnov(reference: NumericHistogram, current: NumericHistogram) -> float | None:
    """The largest difference of the two distribution functions at the edges, of the values that are there.

    Between edges it may be larger, so this bounds the statistic on raw values from below. None where one has no value.
    """
    cumulated = [_cumulated(histogram) for histogram in (reference, current)]
    if cumulated[0] is None or cumulated[1] is None:
        return None
    return float(np.max(np.abs(cumulated[0] - cumulated[1])))


def rise(reference: NumericHistogram, current: NumericHistogram) -> float | None:
    """Which way values have moved, from -1 to 1: 1 where the current ones are higher throughout, 0 where as much is lower as is
    higher. The area between the distribution functions over the area without regard to sign, each bin as wide as another.

    None where nothing has moved, or one has no value.
    """
    of_reference, of_current = _cumulated(reference), _cumulated(current)
    if of_reference is None or of_current is None:
        return None
    gap = of_reference - of_current
    moved = float(np.abs(gap).sum())
    return float(gap.sum()) / moved if moved > 1e-12 else None


def _cumulated(histogram: NumericHistogram) -> Floats | None:
    counts = np.array(histogram.counts, dtype=np.float64)
    return np.asarray(np.cumsum(counts) / counts.sum()) if counts.sum() else None


def representatives(edges: tuple[float, ...]) -> Floats:
    """A value for each bin: the middle between its edges. The two open bins stand at their one edge, so what lies outside
    counts as if it lay at the end of the range, and a distance is never more than the truth by that."""
    cut = np.array(edges)
    return np.concatenate([cut[:1], cut[:-1] + np.diff(cut) / 2, cut[-1:]])


def wasserstein(reference: NumericHistogram, current: NumericHistogram) -> float | None:
    """Wasserstein-1 between bins' representatives, in interquartile ranges of the reference.

    None where one has no value, or where the reference's middle half has no width to measure by.
    """
    of_reference, of_current = _cumulated(reference), _cumulated(current)
    spread = interquartile_range(reference)
    if of_reference is None or of_current is None or spread is None:
        return None
    steps = np.diff(representatives(reference.edges))
    return float(np.sum(np.abs(of_reference - of_current)[:-1] * steps) / spread)


def interquartile_range(histogram: NumericHistogram) -> float | None:
    """Between the quartiles, values lying evenly in their bins; None where rounding is all of it."""
    cumulated = _cumulated(histogram)
    if cumulated is None:
        return None
    # The mass of the open bins is taken to lie at the ends of the range: distribution function at each edge.
    low, high = np.interp((0.25, 0.75), cumulated[:-1], np.array(histogram.edges))
    width = float(high - low)
    return width if width > 1e-12 * float(np.max(np.abs(histogram.edges))) else None
