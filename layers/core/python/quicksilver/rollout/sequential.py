"""Two arms compared while they run: evidence that may be looked at after every period and stays valid.

The test is an e-process: a bet against "both arms draw from the same distribution in each period" that nobody can
expect to win while that is so. By Ville's inequality (Ville 1939) its chance of *ever* reaching 1/alpha is at most alpha,
however often it is looked at and whatever makes one stop.

One period is one block. Let the canary give counts a_j and the champion b_j of the outcomes j, n_a and n_b in all. For
any two distributions p_a and p_b that are fixed before the block,

    e = prod_j (p_a_j / p_0_j)^a_j (p_b_j / p_0_j)^b_j,    p_0 = (n_a p_a + n_b p_b) / (n_a + n_b)

has expectation at most 1 where both arms draw from one distribution q, *whatever q is* (Turner, Ly and Grünwald,
"Generic E-variables for exact sequential k-sample tests that allow for optional stopping", 2024, Theorem 1). For, by
the inequality of weighted means,

    E[e] = E_q[p_a/p_0]^n_a E_q[p_b/p_0]^n_b <= ((n_a E_q[p_a/p_0] + n_b E_q[p_b/p_0]) / n)^n = E_q[p_0/p_0]^n = 1.

So q may differ from period to period: a base rate that drifts over the day costs power and never validity. The product
over blocks, each with p_a and p_b chosen from earlier blocks only, is the e-process.

Here p_b is the champion's distribution as of earlier periods, and p_a is p_b tilted: p_a_j = p_b_j exp(t_j) / Z. For two
outcomes that is an offset of the log-odds. No single tilt is right for every bad canary, so the e-process is the mean of
those of a fixed grid of tilts, each run through all blocks, which is again one (the method of mixtures).

It is exact for blocks that are whole. The block of a period that still fills is an e-variable at each look, given the
blocks before it, but two looks into one block are not covered by the theorem: the simulation (bench/sim_rollout.py) looks
there as the product does, and measures what that comes to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add, mul
from typing import NamedTuple


class Tilt(NamedTuple):
    """A change of each outcome's log-probability, up to a constant; ``growths`` are its exponentials."""

    changes: tuple[float, ...]
    growths: tuple[float, ...]

    @classmethod
    def of(cls, *changes: float) -> Tilt:
        return cls(changes, tuple(math.exp(change) for change in changes))


WORSE = tuple(Tilt.of(0.0, offset) for offset in (0.3, 0.7, 1.2, 2.0, 3.0, 4.5))
"""Of two outcomes, the second has become more frequent: log-odds offsets, 4.5 being odds of 90 times."""

OTHER = tuple(Tilt.of(0.0, sign * offset) for sign in (-1, 1) for offset in (0.15, 0.35, 0.8, 1.8))
"""Of two outcomes, the second has become more or less frequent."""

OCTILES = 8


def _octile_tilts() -> tuple[Tilt, ...]:
    places = [place - (OCTILES - 1) / 2 for place in range(OCTILES)]
    scale = math.sqrt(sum(place * place for place in places) / OCTILES)
    standard = [place / scale for place in places]
    moved = [Tilt.of(*(sign * by * u for u in standard)) for sign in (-1, 1) for by in (0.2, 0.5, 1.2)]
    spread = [Tilt.of(*(by * (u * u - 1) for u in standard)) for by in (-0.5, 0.5)]
    heaped = [
        Tilt.of(*(1.5 if place == heap else 0.0 for place in range(OCTILES))) for heap in range(OCTILES)
    ]
    return (*moved, *spread, *heaped)


RESHAPED = _octile_tilts()
"""Of eight outcomes in an order: all moved up or down, drawn together or apart, or heaped up in one of them."""


@dataclass(frozen=True, slots=True)
class Block:
    """One period: counts by outcome of the canary and of the champion, and p_b, which adds up to 1 and holds no 0."""

    canary: Sequence[int]
    champion: Sequence[int]
    expected: Sequence[float]

    def log_e(self, tilts: Sequence[Tilt]) -> Sequence[float]:
        """The natural logarithm of the e-variable of each tilt; 0 where an arm has no observation.

        With p_a_j = p_b_j g_j / Z it is sum_j a_j log g_j + n_b log Z - sum_j (a_j + b_j) log((n_a g_j + n_b Z) / n).
        """
        ours, theirs = sum(self.canary), sum(self.champion)
        if not ours or not theirs:
            return (0.0,) * len(tilts)
        weight = ours / (ours + theirs)
        both = tuple(map(add, self.canary, self.champion))
        found = []
        for changes, growths in tilts:
            norm = sum(map(mul, self.expected, growths))
            rest = (1 - weight) * norm
            mixed = [weight * growth + rest for growth in growths]
            found.append(
                sum(map(mul, self.canary, changes))
                + theirs * math.log(norm)
                - sum(map(mul, both, map(math.log, mixed)))
            )
        return found


@dataclass(frozen=True, slots=True)
class EProcess:
    """A bet spread evenly over tilts. ``log_wealth`` is the logarithm of what each has made of a stake of 1."""

    tilts: tuple[Tilt, ...]
    log_wealth: tuple[float, ...]

    @classmethod
    def over(cls, tilts: tuple[Tilt, ...]) -> EProcess:
        return cls(tilts, (0.0,) * len(tilts))

    def after(self, block: Block, copies: float = 1.0) -> EProcess:
        """The bet after one more block, whose observations come in so many equal copies."""
        won = block.log_e(self.tilts)
        return EProcess(
            self.tilts, tuple(wealth + by / copies for wealth, by in zip(self.log_wealth, won, strict=True))
        )

    @property
    def log_evidence(self) -> float:
        """The natural logarithm of the e-value: the mean over the tilts."""
        most = max(self.log_wealth)
        return most + math.log(
            sum(math.exp(wealth - most) for wealth in self.log_wealth) / len(self.log_wealth)
        )
