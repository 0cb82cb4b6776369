"""A canary beside the champion, folded period by period: matched rates, and an e-process for each guard.

What a period is measured by comes from the periods before it only: the champion's 99th percentile of latency, the octiles
of its scores, and the rates expected of both arms. Nothing is kept between looks; the whole is folded anew from the rollup.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from operator import add

from quicksilver.guard_policy import GuardName
from quicksilver.rollout.sequential import OCTILES, OTHER, RESHAPED, WORSE, Block, EProcess, Tilt
from quicksilver.rollup_counts import ArmCounts, ArmKey, Period
from quicksilver.routing import Role

SLOW_SHARE = 0.01
"""Answers in the bins beyond the champion's 99th percentile are slow."""

LEAST_HISTORY = 100
"""Requests of the champion below which a period only becomes history: a bet on less would be lost to ignorance."""

MOST_HISTORY = 50_000
"""Requests of the champion remembered: enough for a rate of 1 in 1,000, and for 50 a second a quarter of an hour."""

TILTS: Mapping[GuardName, tuple[Tilt, ...]] = {
    GuardName.ERROR_RATE: WORSE,
    GuardName.DEGRADED_RATE: WORSE,
    GuardName.SLOW_RATE: WORSE,
    GuardName.APPROVAL_RATE: OTHER,
    GuardName.SCORE_SHIFT: RESHAPED,
}

NOTHING = ArmCounts()


def champion_counts(period: Period, model: str) -> ArmCounts:
    """The champion's counts of a period, with those of the holdout: it too is drawn at random, and sees the champion."""
    assigned = period.arms.get(ArmKey(model, Role.CHAMPION), NOTHING)
    held_out = period.arms.get(ArmKey(model, Role.CHAMPION, holdout=True))
    return assigned + held_out if held_out else assigned


def canary_counts(period: Period, model: str) -> ArmCounts:
    return period.arms.get(ArmKey(model, Role.CANARY), NOTHING)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a period is measured by. ``slow_from`` is a bin of latency, ``octile_ends`` are ends of runs of score bins."""

    slow_from: int
    octile_ends: tuple[int, ...]
    expected: Mapping[GuardName, tuple[float, ...]]

    @classmethod
    def of(cls, history: ArmCounts) -> Yardstick:
        bare = cls(_slow_from(history.latency), _octile_ends(history.scores), {})
        return cls(
            bare.slow_from,
            bare.octile_ends,
            {guard: _smoothed(counts) for guard, counts in bare.outcomes(history).items()},
        )

    def outcomes(self, counts: ArmCounts) -> dict[GuardName, tuple[int, ...]]:
        """Counts by outcome for each guard; the last of two is the one that is watched."""
        answered = counts.requests - counts.errors
        measured = sum(counts.latency)
        slow = sum(counts.latency[self.slow_from :])
        starts = (0, *self.octile_ends)
        octiles = (
            sum(counts.scores[start:end])
            for start, end in zip(starts, (*self.octile_ends, len(counts.scores)), strict=True)
        )
        return {
            GuardName.ERROR_RATE: (answered, counts.errors),
            GuardName.DEGRADED_RATE: (answered - counts.degraded, counts.degraded),
            GuardName.SLOW_RATE: (measured - slow, slow),
            GuardName.APPROVAL_RATE: (answered - counts.approved, counts.approved),
            GuardName.SCORE_SHIFT: tuple(octiles),
        }


@dataclass(frozen=True, slots=True)
class Matched:
    """One guard's comparison. ``canary`` are its counts by outcome; ``champion`` are the counts it would have had at the
    champion's rates of the same periods (direct standardization: a base rate that drifts while the share grows would
    otherwise look like a difference). Periods in which either has none are in neither."""

    canary: tuple[float, ...]
    champion: tuple[float, ...]
    process: EProcess

    @classmethod
    def over(cls, tilts: tuple[Tilt, ...]) -> Matched:
        none = (0.0,) * len(tilts[0].changes)
        return cls(none, none, EProcess.over(tilts))

    def after(self, block: Block, copies: float) -> Matched:
        ours, theirs = sum(block.canary), sum(block.champion)
        if not ours or not theirs:
            return self
        scale = ours / theirs
        return Matched(
            tuple(map(add, self.canary, block.canary)),
            tuple(total + count * scale for total, count in zip(self.champion, block.champion, strict=True)),
            self.process.after(block, copies),
        )


def _unseen() -> Mapping[GuardName, Matched]:
    return {guard: Matched.over(tilts) for guard, tilts in TILTS.items()}


@dataclass(frozen=True)
class Comparison:
    """Two model versions compared over the periods so far. ``since_ms`` is when the rollout began (epoch ms).

    ``canary_requests`` and ``champion_requests`` are of the periods since then. The champion's history is kept in two halves, the older of which is dropped when the younger is full.
    """

    champion: str
    canary: str
    since_ms: int
    copies: float = 1.0
    matched: Mapping[GuardName, Matched] = field(default_factory=_unseen)
    canary_requests: int = 0
    champion_requests: int = 0
    older: ArmCounts = NOTHING
    younger: ArmCounts = NOTHING

    @cached_property
    def yardstick(self) -> Yardstick | None:
        """What the next period is measured by; None while there is too little history."""
        history = self.older + self.younger
        return Yardstick.of(history) if history.requests >= LEAST_HISTORY else None

    def after(self, period: Period) -> Comparison:
        """The comparison with one more period. One that began before the rollout did is history and no more: an earlier
        rollout of the same canary may be in it."""
        champion = champion_counts(period, self.champion)
        older, younger = self.older, self.younger + champion
        if younger.requests >= MOST_HISTORY // 2:
            older, younger = younger, NOTHING
        if period.start_ms < self.since_ms:
            return replace(self, older=older, younger=younger)
        canary = canary_counts(period, self.canary)
        return replace(
            self,
            matched=self._compared(canary, champion),
            canary_requests=self.canary_requests + canary.requests,
            champion_requests=self.champion_requests + champion.requests,
            older=older,
            younger=younger,
        )

    def _compared(self, canary: ArmCounts, champion: ArmCounts) -> Mapping[GuardName, Matched]:
        yardstick = self.yardstick
        if not yardstick or not canary.requests or not champion.requests:
            return self.matched
        ours, theirs = yardstick.outcomes(canary), yardstick.outcomes(champion)
        return {
            guard: matched.after(Block(ours[guard], theirs[guard], yardstick.expected[guard]), self.copies)
            for guard, matched in self.matched.items()
        }


def _slow_from(latency: Sequence[int]) -> int:
    """The first bin beyond the 99th percentile: it and those after it hold at most 1 % of the answers."""
    most = SLOW_SHARE * sum(latency)
    beyond = 0
    for place in range(len(latency) - 1, -1, -1):
        beyond += latency[place]
        if beyond > most:
            return place + 1
    return len(latency)


def _octile_ends(scores: Sequence[int]) -> tuple[int, ...]:
    """The ends of the first seven of eight runs of bins, each run holding an eighth of the scores as nearly as bins allow."""
    below = list(accumulate(scores))
    return tuple(bisect_left(below, below[-1] * octile / OCTILES) + 1 for octile in range(1, OCTILES))


def _smoothed(counts: Sequence[int]) -> tuple[float, ...]:
    """Shares of counts with half an observation of each outcome added (Krichevsky and Trofimov 1981): none is impossible."""
    total = sum(counts) + len(counts) / 2
    return tuple((count + 0.5) / total for count in counts)
