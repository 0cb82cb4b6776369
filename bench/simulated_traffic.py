"""Traffic of two arms as the rollup would count it, drawn at random: what the simulations look at.

Scores are normal in log-odds, latencies log-normal with a slow tail. Where entities are drawn too, each has its own size
and its own mean score, and stays with its arm, as routing does it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quicksilver.rollup_counts import LATENCY_BINS, SCORE_BINS, ArmCounts

Floats = NDArray[np.float64]

REQUESTS_PER_SECOND = 50
MINUTES_OF_A_DAY = 1_440
CUT_OFF_BIN = SCORE_BINS // 2
"""A score of 0.5: log-odds of 0."""

SCORE_SPREAD = 1.5
"""Standard deviation of the scores' log-odds; of its square, an entity's own mean has the share ``WITHIN_ENTITY``."""
WITHIN_ENTITY = 0.6

MEDIAN_LATENCY_US, LATENCY_SPREAD, TAIL_FACTOR = 4_000, 0.35, 3

_SCORE_ENDS = np.arange(-8, 8, 0.25)[1:]
_LATENCY_ENDS = np.log(100) + math.log(2) / 4 * np.arange(1, LATENCY_BINS)
_NORMAL_CDF = np.vectorize(NormalDist().cdf, otypes=[np.float64])


@dataclass(frozen=True)
class Behaviour:
    """What a model version does: rates, of which ``tail`` is the share of answers three times as slow."""

    approval: float = 0.95
    error: float = 0.001
    degraded: float = 0.01
    tail: float = 0.01


@dataclass(frozen=True)
class Entities:
    """So many entities with log-normal sizes, the standard deviation of whose logarithm is ``spread``."""

    number: int = 20_000
    spread: float = 1.0


def normal_bins(mean: Floats, spread: float, ends: Floats) -> Floats:
    """Probability of each bin (last axis) for normal variates of these means (other axes)."""
    below = _NORMAL_CDF((ends - mean[..., None]) / spread)
    edge = np.ones_like(mean)[..., None]
    return np.diff(np.concatenate([0 * edge, below, edge], axis=-1), axis=-1)


_FAST, _SLOW = (
    normal_bins(np.array(math.log(MEDIAN_LATENCY_US * factor)), LATENCY_SPREAD, _LATENCY_ENDS)
    for factor in (1, TAIL_FACTOR)
)
_CLASSES = np.linspace(-10, 10, 161)
"""Mean scores in log-odds, finely enough that their bins may be looked up."""
_CLASS_BINS = normal_bins(_CLASSES, SCORE_SPREAD, _SCORE_ENDS)
_CLASS_BINS_OF_AN_ENTITY = normal_bins(_CLASSES, SCORE_SPREAD * math.sqrt(1 - WITHIN_ENTITY), _SCORE_ENDS)


class Traffic:
    """The requests of one rollout, minute by minute, from the champion and the canary."""

    def __init__(
        self,
        champion: Behaviour,
        canary: Behaviour,
        random: np.random.Generator,
        *,
        drift: float = 0.0,
        entities: Entities | None = None,
    ) -> None:
        self._behaviours = (canary, champion)
        self._random = random
        self._drift = drift
        self._phase = random.uniform(0, MINUTES_OF_A_DAY)
        self._entities = entities
        if entities:
            self._places = random.uniform(0, 10_000, entities.number)
            sizes = random.lognormal(0, entities.spread, entities.number)
            self._sizes = sizes / sizes.sum()
            self._own = random.normal(0, SCORE_SPREAD * math.sqrt(WITHIN_ENTITY), entities.number)

    def parts(
        self, share_bp: int, spans: Sequence[tuple[float, float]]
    ) -> Iterator[tuple[ArmCounts, ArmCounts]]:
        """What the canary at its share and the champion do in each span (minutes, from and until)."""
        arms = [
            self._drawn(behaviour, share_bp, spans, canary=place == 0)
            for place, behaviour in enumerate(self._behaviours)
        ]
        return zip(*arms, strict=True)

    def _drawn(
        self, behaviour: Behaviour, share_bp: int, spans: Sequence[tuple[float, float]], *, canary: bool
    ) -> list[ArmCounts]:
        starts, ends = np.array(spans).T
        tide = self._drift * np.sin(2 * math.pi * (starts + self._phase) / MINUTES_OF_A_DAY)
        mean = tide - SCORE_SPREAD * NormalDist().inv_cdf(behaviour.approval)
        if self._entities:
            own = (self._places < share_bp) == canary
            share = self._sizes[own].sum()
            scores = self._scores_of_entities(mean, own)
        else:
            share = share_bp / 10_000 if canary else 1 - share_bp / 10_000
            scores = _CLASS_BINS[_class_of(mean)]
        draw: Any = self._random
        swell = 1 + np.clip(tide, -0.5, 0.5)
        requests = draw.poisson(REQUESTS_PER_SECOND * 60 * (ends - starts) * share * swell)
        errors = draw.binomial(requests, np.minimum(behaviour.error * np.exp(tide), 1))
        answered = requests - errors
        degraded = draw.binomial(answered, np.minimum(behaviour.degraded * np.exp(tide), 1))
        latency = draw.multinomial(answered, (1 - behaviour.tail) * _FAST + behaviour.tail * _SLOW)
        found = draw.multinomial(answered, scores)
        approved = found[:, :CUT_OFF_BIN].sum(axis=1)
        columns = (requests, errors, degraded, approved, latency, found)
        return [
            ArmCounts(
                requests=asked,
                errors=failed,
                degraded=lacking,
                approved=passed,
                latency=tuple(delays),
                scores=tuple(bins),
            )
            for asked, failed, lacking, passed, delays, bins in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]

    def _scores_of_entities(self, mean: Floats, own: NDArray[np.bool_]) -> Floats:
        """The bins of an arm's scores: of each of its entities' own, weighted by their sizes."""
        weights = self._sizes[own]
        if not weights.size:
            return _CLASS_BINS[_class_of(mean)]
        rows = []
        for each in mean:
            held = np.bincount(_class_of(each + self._own[own]), weights, minlength=len(_CLASSES))
            rows.append(held @ _CLASS_BINS_OF_AN_ENTITY / weights.sum())
        return np.array(rows)


def _class_of(mean: Floats) -> NDArray[np.intp]:
    return np.clip(np.rint((mean + 10) * 8), 0, len(_CLASSES) - 1).astype(np.intp)


def design_effect(entities: Entities, requests: float) -> float:
    """Kish's design effect of so many requests: sum(m^2) / sum(m) over log-normal sizes, whose E[m^2] / E[m]^2 is exp(s^2),
    and of Poisson counts, which add 1."""
    return 1 + requests / entities.number * math.exp(entities.spread**2)
