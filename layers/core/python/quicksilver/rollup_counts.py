"""The rollup: what each arm did in each period, counted from the prediction stream, each record once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import add
from typing import NamedTuple

from quicksilver.routing import Role

LATENCY_BINS = 80
"""Latencies from 100 us, four bins to each doubling; the last bin is open."""

SCORE_BINS = 64
"""Log-odds of the score from -8 to 8, in steps of a quarter; the first and the last bin are open."""

KEEP_DAYS = 35
"""How long a period is kept, where a stage says nothing else."""

LANES = 8
"""Into how many lanes each period's records are spread."""

LATENCY_BOUNDS_US = tuple(math.ceil(100 * 2 ** (number / 4)) for number in range(1, LATENCY_BINS))
"""The least latency (us) of each bin but the first."""

SCORE_BOUNDS = tuple(1 / (1 + math.exp(8 - number / 4)) for number in range(1, SCORE_BINS))
"""The least score of each bin but the first. Bins are found by comparison alone, so that SQL finds the same."""


def latency_bin(latency_us: int) -> int:
    return bisect_right(LATENCY_BOUNDS_US, latency_us)


def score_bin(score: float) -> int:
    return bisect_right(SCORE_BOUNDS, score)


class ArmKey(NamedTuple):
    """Whose counts: entities assigned to a model version by a role, those of the holdout apart."""

    model: str
    role: Role
    holdout: bool = False


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """Of the requests assigned to an arm. ``latency`` and ``scores`` are histograms over the bins above.

    ``errors`` were not answered by the arm's own model version, and are in none of what follows. ``not_loaded``
    are answers, by any arm, that name the model version as one that could not be loaded; see ``not_loaded_key``.
    ``degraded`` had a feature's policy applied; ``approved`` scored below the endpoint's cut-off.
    """

    requests: int = 0
    errors: int = 0
    not_loaded: int = 0
    degraded: int = 0
    approved: int = 0
    latency: tuple[int, ...] = (0,) * LATENCY_BINS
    scores: tuple[int, ...] = (0,) * SCORE_BINS

    def __add__(self, other: ArmCounts) -> ArmCounts:
        return ArmCounts(
            self.requests + other.requests,
            self.errors + other.errors,
            self.not_loaded + other.not_loaded,
            self.degraded + other.degraded,
            self.approved + other.approved,
            tuple(map(add, self.latency, other.latency)),
            tuple(map(add, self.scores, other.scores)),
        )


@dataclass(frozen=True, slots=True)
class Period:
    """One period of an endpoint, by the time of its predictions: a minute, or less where the stage says so."""

    start_ms: int
    arms: Mapping[ArmKey, ArmCounts]

    def not_loaded(self, model: str) -> int:
        """How many answers of the period say that a model version could not be loaded."""
        return sum(counts.not_loaded for key, counts in self.arms.items() if key.model == model)


def not_loaded_key(model: str) -> ArmKey:
    """Whose ``not_loaded`` counts an answer that could not load a model version.

    Such an answer names the model version and no role: whatever its role is, they are the canary's, outside the
    holdout, which is where ``Period.not_loaded`` finds them.
    """
    return ArmKey(model, Role.CANARY)


def merged(*several: Mapping[ArmKey, ArmCounts]) -> dict[ArmKey, ArmCounts]:
    """The counts of all of them together."""
    together: dict[ArmKey, ArmCounts] = {}
    for arms in several:
        for key, counts in arms.items():
            together[key] = together[key] + counts if key in together else counts
    return together


class LaneKey(NamedTuple):
    """What is counted together: an endpoint's records of one period and one lane."""

    endpoint: str
    start_ms: int
    lane: int


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane as it is stored: what its records add up to, and which they are. Both change by one write.

    ``version`` is how often it has been written; at 0 it is not there. ``recent`` are the identities of records
    counted, but for those that have moved to pages: one page for each time, ``paged`` times in all. The page of a version
    holds what was recent in it and never changes, so whatever is on any page is counted. All of it may be forgotten from ``expires_s`` on (UTC epoch seconds).
    """

    key: LaneKey
    version: int = 0
    arms: Mapping[ArmKey, ArmCounts] = field(default_factory=dict)
    recent: frozenset[bytes] = frozenset()
    paged: int = 0
    expires_s: int = 0


def periods(lanes: Iterable[tuple[int, Mapping[ArmKey, ArmCounts]]]) -> list[Period]:
    """Periods by time, from the counts of their lanes, each with the period's start."""
    by_start: dict[int, list[Mapping[ArmKey, ArmCounts]]] = {}
    for start_ms, arms in lanes:
        by_start.setdefault(start_ms, []).append(arms)
    return [Period(start_ms, merged(*by_start[start_ms])) for start_ms in sorted(by_start)]
