"""How surely two samples are not of one distribution, at their own sizes: p-values, all conditional on the pooled counts.

If both samples are of one distribution, which rows are whose is chance: given the pooled counts, the smaller sample's are
multivariate hypergeometric, whatever the distribution. That needs neither a distribution nor a large sample.

- Two bins: Fisher's exact test, two-sided by probability (Fisher 1934; Agresti 2002, section 3.5). No mid-p: that is
  nearer to its level on average and above it at times, and here a false alarm costs more than a late one.
- More bins with expected counts that are not small: Pearson's chi-square tail, by Cochran's rule (1954, Biometrics 10(4)).
  The rule is about levels near 0.05. Further out, simulation takes over unless counts are large or nothing is in doubt.
- Else: a Monte Carlo test (Barnard 1963; Davison & Hinkley 1997, section 4.2) on the likelihood ratio G, for in sparse bins a
  single row can be all of Pearson's statistic. It stops early where nothing is to be found (Besag & Clifford 1991,
  Biometrika 78(2)), and its seed is made from the counts, so that the same window has the same p-value.
- Outside the range: by order statistics (Wilks 1942, Annals of Mathematical Statistics 13(4)), see ``outside``.

Rows that are no independent observations are thinned to as many as they are worth (Rao & Scott 1992, Biometrics 48(2):
counts and sizes divided by the design effect, then tests as ever; Kish 1965, section 8.2, for the design effect).
"""

from __future__ import annotations

import hashlib
import math
import sys

import numpy as np

from quicksilver.drift.statistics import Counts, Floats, chi_square, expected_counts

DRAWS = 199_999
"""A p-value can be 1 / (draws + 1) at least: 0.005 / 200 hypotheses needs 40,000."""

_EXCEEDED = 10
"""Simulated tables as extreme as the one seen after which a simulation stops: p is known to a third of itself."""
_BULK = 0.05
"""Down to here Cochran's rule was made for the chi-square tail."""
_SURE = 1e-9
"""From here on the tail may be wrong by any factor that matters and the verdict is the same."""
_FEW = 5.0
"""Cochran's least expected count."""
_LARGE = 100.0
"""Expected counts from which the tail is right far out: of a Poisson that is one bin of two, to a factor of 1.6 at 3e-5."""
_ROWS = 400_000_000
"""NumPy draws from fewer than 10^9 rows in all. More are thinned, which loses nothing that is still in doubt."""
_TINIEST = sys.float_info.min


def thinned(counts: Counts, effective: float) -> Counts:
    """Whole counts of about ``effective`` rows in the same proportions, by largest remainders; at least one row if any.

    Never more than there are.
    """
    rows = int(counts.sum())
    wanted = min(rows, max(1, int(min(effective, _ROWS))))
    if not rows or wanted == rows:
        return counts
    quota = counts * (wanted / rows)
    whole: Counts = np.floor(quota).astype(np.int64)
    largest = np.argsort(whole - quota, kind="stable")[: wanted - int(whole.sum())]
    whole[largest] += 1
    return whole


def p_value(reference: Counts, current: Counts, *, draws: int = DRAWS) -> float:
    """The probability of two samples at least as different, both being of one distribution and of these sizes.

    ``reference`` and ``current`` have shape (bins,). 1 where there is nothing to compare: one bin, or a sample of no rows.
    """
    kept = reference + current > 0
    reference, current = reference[kept], current[kept]
    if len(reference) < 2 or not reference.sum() or not current.sum():
        return 1.0
    if len(reference) == 2:
        return fisher(reference, current)
    expected = np.concatenate(expected_counts(reference, current))
    least = float(expected.min())
    if least >= 1 and np.mean(expected < _FEW) <= 0.2:
        tail = _tail(reference, current)
        if tail >= _BULK or least >= _LARGE:
            return tail
    # Where nothing is in doubt, nothing need be simulated. Bins of few rows are put together, which the pooled counts decide.
    sure = _tail(*_merged(reference, current))
    return sure if sure < _SURE else monte_carlo(reference, current, draws=draws)


def _tail(reference: Counts, current: Counts) -> float:
    return chi_square_tail(chi_square(reference, current), len(reference) - 1) if len(reference) > 1 else 1.0


def _merged(reference: Counts, current: Counts) -> tuple[Counts, Counts]:
    """The two samples with bins of small expected counts as one, and with the next bin if that one is small still."""
    expected = np.minimum(*expected_counts(reference, current))
    order = np.argsort(expected, kind="stable")
    together = max(
        1, int(np.searchsorted(np.cumsum(expected[order]), _FEW)) + 1, int(np.sum(expected < _FEW))
    )
    rest, few = order[together:], order[:together]
    return np.append(reference[rest], reference[few].sum()), np.append(current[rest], current[few].sum())


def fisher(reference: Counts, current: Counts) -> float:
    """Fisher's exact test, two-sided: all tables of the same margins that are no more probable than the one seen."""
    small, large = sorted((reference, current), key=lambda counts: int(counts.sum()))
    drawn, first, second = int(small.sum()), int(small[0] + large[0]), int(small[1] + large[1])
    low, high = max(0, drawn - second), min(drawn, first)
    mean = drawn * first / (first + second)
    # Fifty standard deviations from the mean a probability is below the smallest double.
    reach = math.ceil(50 * math.sqrt(mean * second / (first + second)) + 1_000)
    low, high = max(low, math.floor(mean) - reach), min(high, math.ceil(mean) + reach)
    seen = int(small[0])
    if not low <= seen <= high:
        return _TINIEST
    log_weight = _log_weights(low, high, drawn, first, second)
    # Ties are ties, though each was rounded on its own way.
    as_extreme = log_weight <= log_weight[seen - low] + 1e-9
    log_weight -= log_weight.max()
    weight = np.exp(log_weight)
    return float(min(1.0, max(_TINIEST, weight[as_extreme].sum() / weight.sum())))


def _log_weights(low: int, high: int, drawn: int, first: int, second: int) -> Floats:
    """Logs of the hypergeometric probabilities of low..high, up to a constant, by the ratios of neighbours."""
    k = np.arange(low, high, dtype=np.float64)
    ratios = np.log((first - k) / (k + 1) * ((drawn - k) / (second - drawn + k + 1)))
    # Summed from the middle outwards, where probabilities are largest: errors grow where nothing depends on them.
    middle = len(ratios) // 2
    return np.concatenate([-np.cumsum(ratios[:middle][::-1])[::-1], [0.0], np.cumsum(ratios[middle:])])


def chi_square_tail(statistic: float, freedom: int) -> float:
    """The probability that chi-square with ``freedom`` >= 1 degrees of freedom is ``statistic`` or more.

    The regularized upper incomplete gamma function Q(freedom / 2, statistic / 2), which is a finite sum for whole
    degrees of freedom (Abramowitz & Stegun 1964, 26.4.4 and 26.4.5).
    """
    half = statistic / 2
    if half <= 0:
        return 1.0
    odd = freedom % 2
    # Terms x^s e^-x / gamma(s + 1): s is 0, 1, ... for even and 1/2, 3/2, ... for odd degrees.
    powers = (number + odd / 2 for number in range((freedom - odd) // 2))
    terms = [math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers]
    return min(1.0, max(_TINIEST, math.fsum([*terms, math.erfc(math.sqrt(half)) if odd else 0.0])))


def monte_carlo(reference: Counts, current: Counts, *, draws: int = DRAWS) -> float:
    """A conditional Monte Carlo test on the likelihood ratio, of bins that are not empty in both.

    With h = 10 draws as extreme as what was seen after l of them it stops: p = h / l (Besag & Clifford 1991, equation
    2). Else p = (1 + b) / (1 + draws) for b that were. Both are at most u with a probability of at most u.
    """
    small, large = sorted((reference, current), key=lambda counts: (int(counts.sum()), counts.tolist()))
    pooled, rows = small + large, int(small.sum())
    expected, others = expected_counts(small, large)
    seen = _likelihood_ratio(small[None, :], pooled, expected, others)[0]
    random = np.random.default_rng(_seed(small, large))
    done = exceeded = 0
    size = 128
    while done < draws:
        size = min(2 * size, 16_384, draws - done)
        drawn = random.multivariate_hypergeometric(pooled, rows, size=size, method="marginals")
        as_extreme = _likelihood_ratio(drawn, pooled, expected, others) >= seen - 1e-9 * (1 + seen)
        here = int(as_extreme.sum())
        if exceeded + here >= _EXCEEDED:
            last = int(np.flatnonzero(as_extreme)[_EXCEEDED - exceeded - 1])
            return _EXCEEDED / (done + last + 1)
        done, exceeded = done + size, exceeded + here
    return (1 + exceeded) / (1 + draws)


def _likelihood_ratio(small: Counts, pooled: Counts, expected: Floats, others: Floats) -> Floats:
    """G / 2 of tables whose smaller samples are ``small``, shape (tables, bins); the shape of the result is (tables,)."""
    large = pooled - small
    # Of an empty cell 0 ln 0 is 0: its logarithm is taken of one row, and counted no times.
    of_small = small * np.log(np.maximum(small, 1) / expected)
    return np.asarray((of_small + large * np.log(np.maximum(large, 1) / others)).sum(axis=1))


def _seed(small: Counts, large: Counts) -> int:
    return int.from_bytes(hashlib.sha256(repr((small.tolist(), large.tolist())).encode()).digest()[:16])


def outside(beyond: int, rows: int, reference_rows: int) -> float:
    """The probability that of ``rows`` new values at least ``beyond`` lie outside the range of ``reference_rows`` old ones.

    The range is that of the reference itself, so the reference never has a value outside, and which of all values are
    whose is not chance there: a test on pooled counts would find too much. Where values are continuous, the new ones
    in the two gaps at the ends are as many as those above the second largest old one: ``beyond`` or more of them if and only
    if among the ``beyond`` + 1 largest of all at most one is old. Where values are tied, fewer are outside.
    """
    if not beyond or not reference_rows:
        return 1.0
    n, both = rows, rows + reference_rows
    taken = beyond + 1
    none_old = _log_choose(n, taken) - _log_choose(both, taken) if taken <= n else -math.inf
    one_old = math.log(reference_rows) + _log_choose(n, beyond) - _log_choose(both, taken)
    return float(min(1.0, max(_TINIEST, math.exp(none_old) + math.exp(one_old))))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
