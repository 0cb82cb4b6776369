"""The rollup: what each arm did in each period, counted from the prediction stream, each record once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import add
from typing import NamedTuple

from quicksilver.routing import Role

LATENCY_BINS = 80
"""Latencies from 100 us, four bins to each doubling; the last bin is open."""

SCORE_BINS = 64
"""Log-odds of the score from -8 to 8, in steps of a quarter; the first and the last bin are open."""


class ArmKey(NamedTuple):
    """Whose counts: entities assigned to a model version by a role, those of the holdout apart."""

    model: str
    role: Role
    holdout: bool = False


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """Of the requests assigned to an arm. ``latency`` and ``scores`` are histograms over the bins above.

    ``errors`` were not answered by the arm's own model version, and are in none of what follows. ``not_loaded``
    are answers, by any arm, that name the arm's model version as one that could not be loaded.
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
