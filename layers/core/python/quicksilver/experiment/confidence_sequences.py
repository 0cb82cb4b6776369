"""Statistics that hold at any time: one may look at every moment, stop when one likes, and still be right.

- A difference: the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024,
  "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52(6), theorem 2.2.
- Counts by arm: the Bayes factor of Lindon & Malek 2022, "Anytime-valid inference for multinomial count data",
  NeurIPS 35, equation 5. Under the declared shares it is a martingale, so it ever exceeds 1/alpha with probability
  alpha at most (Ville's inequality).

Everything works on one look or, along the leading axes, on many. Not on the request path; needs numpy and scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln

from quicksilver.frame import Floats, Ints


def mixture_radius(entities: Ints | Floats, deviation: Floats, *, alpha: float, planned: int) -> Floats:
    """Half the width of the sequence at ``entities`` observations whose standard deviation is ``deviation``.

    The normal mixture's boundary, two-sided at ``alpha`` and tightest at ``planned`` observations.
    """
    x = np.asarray(entities, dtype=np.float64) * mixture_variance(alpha, planned)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.sqrt((x + 1) / x * np.log((x + 1) / alpha**2) / entities)
    return np.asarray(deviation * scaled)


def mixture_variance(alpha: float, planned: int) -> float:
    """The mixture's variance, rho squared, that makes the boundary tightest at ``planned`` observations.

    With y = planned * rho^2 + 1, the least width has y = 1 + log(y / alpha^2) (Waudby-Smith et al., appendix B.1):
    a contraction, since y > 1.
    """
    y = 10.0
    for _ in range(100):
        y = 1 + math.log(y / alpha**2)
    return (y - 1) / planned


def entities_for(radius: float, deviation: float, *, alpha: float, planned: int) -> int | None:
    """How many observations make the sequence no wider than ``radius`` on either side; ``None`` for ever more."""
    if radius <= 0 or not math.isfinite(deviation):
        return None

    def is_enough(entities: int) -> bool:
        at = np.array([entities], dtype=np.float64)
        return bool(mixture_radius(at, np.array([deviation]), alpha=alpha, planned=planned)[0] <= radius)

    high = 1
    while not is_enough(high):
        high *= 2
        if high > 10**12:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def log_ratio_evidence(counts: Ints, shares: Sequence[float], concentration: float = 100.0) -> Floats:
    """The log of the Bayes factor against the declared ``shares``, of counts of shape (..., arms).

    The prior of the alternative is Dirichlet(concentration * shares): centred on the declared shares, so that small
    departures are found soonest. An arm without a share has no count.
    """
    declared = np.asarray(shares, dtype=np.float64)
    if np.any(declared <= 0) or not math.isclose(declared.sum(), 1):
        raise ValueError("shares are positive and add up to 1")
    prior = concentration * declared
    seen = np.asarray(counts, dtype=np.float64)
    total = seen.sum(axis=-1)
    marginal = (
        gammaln(concentration)
        - gammaln(concentration + total)
        + (gammaln(prior + seen) - gammaln(prior)).sum(axis=-1)
    )
    return np.asarray(marginal - (seen * np.log(declared)).sum(axis=-1))
