"""The verdict on a rollout at one moment: a pure function of its plan and the rollup.

Every look folds the whole rollup anew. Nothing is kept between two looks, so nothing is lost when one dies, and two at
once come to the same verdict.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import StrEnum
from functools import reduce

from pydantic import BaseModel, ConfigDict

from quicksilver.guard_policy import GuardName, Guards
from quicksilver.instants import epoch_ms
from quicksilver.rollout.comparison import Comparison, Matched, canary_counts, champion_counts
from quicksilver.rollout_plan import Rollout
from quicksilver.rollup_counts import Period
from quicksilver.routing import FULL_SHARE_BP

HARD_FAILURE_PERIODS = 3
"""A canary that begins to fail after hours without a failure must not hide behind them."""


class Verdict(StrEnum):
    HOLD = "hold"
    ADVANCE = "advance"
    COMPLETE = "complete"
    ROLL_BACK = "roll_back"


class Outcome(StrEnum):
    OK = "ok"
    OVER_LIMIT = "over_limit"  # the canary goes no further while this is so
    ROLLED_BACK = "rolled_back"
    NO_DATA = "no_data"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GuardReading(_Value):
    """One guard at one look.

    ``champion`` and ``canary`` are rates over the same periods, the champion's weighted by the canary's requests; null
    without data, and for the score shift, whose ``difference`` is a population stability index. ``evidence`` and
    ``threshold`` are natural logarithms of e-values; a threshold of null never rolls back.
    """

    name: GuardName
    champion: float | None
    canary: float | None
    difference: float | None
    limit: float
    evidence: float
    threshold: float | None
    outcome: Outcome
    sentence: str


class Look(_Value):
    """What was seen of a rollout at one moment, and what is to be done. ``reason`` is a sentence a person reads.

    ``champion_requests`` and ``canary_requests`` are since the rollout began, ``step_requests`` the canary's since its
    present step did: of periods that began after it.
    """

    verdict: Verdict
    reason: str
    guards: tuple[GuardReading, ...]
    canary_requests: int
    champion_requests: int
    step_requests: int
    baked_seconds: int


def look(rollout: Rollout, champion: str, periods: Sequence[Period], now_ms: int) -> Look:
    """Judge a rollout by the periods of its endpoint's rollup, from some time before it began (history) until now.

    ``champion`` is the model version it is compared with. Periods may come in any order; those that begin after
    ``now_ms`` (epoch ms) are left for a later look.
    """
    seen = sorted((period for period in periods if period.start_ms <= now_ms), key=_start_ms)
    return judge(rollout, reduce(Comparison.after, seen, comparison_of(rollout, champion)), seen, now_ms)


def comparison_of(rollout: Rollout, champion: str) -> Comparison:
    """The comparison a rollout begins with, before any period."""
    return Comparison(
        champion=champion,
        canary=rollout.model,
        since_ms=epoch_ms(rollout.started_at),
        copies=rollout.guards.requests_per_entity,
    )


def judge(rollout: Rollout, comparison: Comparison, periods: Sequence[Period], now_ms: int) -> Look:
    """The verdict on periods by rising time, none of them in the future, that ``comparison`` has been folded over."""
    step_ms = epoch_ms(rollout.step_at)
    began = bisect_left(periods, max(step_ms, comparison.since_ms), key=_start_ms)
    seen = Look(
        verdict=Verdict.HOLD,
        reason="",
        guards=readings(rollout.guards, comparison),
        canary_requests=comparison.canary_requests,
        champion_requests=comparison.champion_requests,
        step_requests=sum(canary_counts(period, rollout.model).requests for period in periods[began:]),
        baked_seconds=max(0, (now_ms - step_ms) // 1_000),
    )
    verdict, reason = _verdict(rollout, comparison, periods, seen)
    return seen.model_copy(update={"verdict": verdict, "reason": reason})


def readings(guards: Guards, comparison: Comparison) -> tuple[GuardReading, ...]:
    """What each guard says of a comparison."""
    return tuple(_reading(guards, guard, matched) for guard, matched in comparison.matched.items())


def _verdict(
    rollout: Rollout, comparison: Comparison, periods: Sequence[Period], seen: Look
) -> tuple[Verdict, str]:
    if failure := _hard_failure(rollout, comparison, periods):
        return Verdict.ROLL_BACK, failure
    if bad := [reading.sentence for reading in seen.guards if reading.outcome is Outcome.ROLLED_BACK]:
        return Verdict.ROLL_BACK, " ".join(bad)
    if rollout.paused:
        return Verdict.HOLD, "The rollout is paused."
    if waiting := _waiting_for(rollout, seen):
        return Verdict.HOLD, waiting
    if over := [reading.sentence for reading in seen.guards if reading.outcome is Outcome.OVER_LIMIT]:
        return Verdict.HOLD, " ".join(over)
    later = rollout.steps_bp[rollout.step + 1 :]
    if len(later) > 1:
        return Verdict.ADVANCE, f"Every guard is within its limit: on to {_percent(later[0])}."
    return Verdict.COMPLETE, f"Every guard is within its limit: {rollout.model} becomes the champion."


def _waiting_for(rollout: Rollout, seen: Look) -> str | None:
    """What a step still needs before its guards are asked whether it may end."""
    needed = rollout.guards.min_requests
    if not seen.canary_requests:
        return f"No request has been assigned to {rollout.model} yet."
    if seen.baked_seconds < rollout.bake_seconds:
        return (
            f"{_percent(rollout.share_bp)} has baked {seen.baked_seconds} of {rollout.bake_seconds} seconds."
        )
    if seen.step_requests < needed:
        return f"{_percent(rollout.share_bp)} has seen {seen.step_requests:,} of {needed:,} requests."
    unseen = [reading.name for reading in seen.guards if reading.outcome is Outcome.NO_DATA]
    if unseen:
        return f"There is nothing to compare yet for {', '.join(unseen)}."
    return None


def _hard_failure(rollout: Rollout, comparison: Comparison, periods: Sequence[Period]) -> str | None:
    """A sentence where the canary fails outright.

    Where an environment cannot load the canary, all its answers name it, and those the canary would have had are its
    share of them: so much is added to its requests, as failures. The period in which the rollout began counts too: what
    fails outright must not wait for the next. (What an earlier rollout of the same canary failed in it counts as well.)
    """
    began = bisect_right(periods, comparison.since_ms, key=_start_ms)
    recent = periods[max(0, began - 1) :][-HARD_FAILURE_PERIODS:]
    ours = [canary_counts(period, comparison.canary) for period in recent]
    theirs = [champion_counts(period, comparison.champion) for period in recent]
    lost = sum(period.not_loaded(comparison.canary) for period in recent) * rollout.share_bp // FULL_SHARE_BP
    failed = sum(counts.errors for counts in ours) + lost
    requests = sum(counts.requests for counts in ours) + lost
    champion_requests = sum(counts.requests for counts in theirs)
    champion_share = sum(counts.errors for counts in theirs) / champion_requests if champion_requests else 0.0
    guards = rollout.guards
    if (
        failed < guards.hard_failure_requests
        or failed / requests - champion_share < guards.hard_failure_share
    ):
        return None
    not_loaded = f", {lost:,} of them because it could not be loaded" if lost else ""
    return (
        f"{rollout.model} failed {failed:,} of its last {requests:,} requests{not_loaded}; "
        f"the champion failed {champion_share:.1%} of its own."
    )


def _reading(guards: Guards, guard: GuardName, matched: Matched) -> GuardReading:
    limit, threshold = guards.limit(guard), guards.log_threshold(guard)
    requests = sum(matched.canary)
    if not requests:
        return GuardReading(
            name=guard,
            champion=None,
            canary=None,
            difference=None,
            limit=limit,
            evidence=0.0,
            threshold=threshold,
            outcome=Outcome.NO_DATA,
            sentence=f"{_NAMES[guard].capitalize()}: nothing to compare yet.",
        )
    canary = champion = None
    if guard is GuardName.SCORE_SHIFT:
        difference = _stability_index(matched.canary, matched.champion)
    else:
        canary, champion = matched.canary[-1] / requests, matched.champion[-1] / requests
        difference = canary - champion
    evidence = matched.process.log_evidence
    over = (abs(difference) if guard is GuardName.APPROVAL_RATE else difference) > limit
    # A difference within its limit is no reason to roll back, however sure it is.
    sure = over and threshold is not None and evidence >= threshold
    return GuardReading(
        name=guard,
        champion=champion,
        canary=canary,
        difference=difference,
        limit=limit,
        evidence=evidence,
        threshold=threshold,
        outcome=Outcome.ROLLED_BACK if sure else Outcome.OVER_LIMIT if over else Outcome.OK,
        sentence=_sentence(guard, champion, canary, difference, limit, over=over, evidence=evidence),
    )


_NAMES = {
    GuardName.ERROR_RATE: "error rate",
    GuardName.DEGRADED_RATE: "degraded rate",
    GuardName.SLOW_RATE: "share of slow answers",
    GuardName.APPROVAL_RATE: "approval rate",
    GuardName.SCORE_SHIFT: "score shift",
}


def _sentence(
    guard: GuardName,
    champion: float | None,
    canary: float | None,
    difference: float,
    limit: float,
    *,
    over: bool,
    evidence: float,
) -> str:
    beside = "over" if over else "within"
    chance = (
        f"odds of {_odds(evidence)} to 1 against chance" if evidence > 0 else "no evidence of a difference"
    )
    if champion is None or canary is None:
        return f"The {_NAMES[guard]} is {difference:.3f}, {beside} the limit of {limit:g} ({chance})."
    return (
        f"The {_NAMES[guard]} is {canary:.2%} against the champion's {champion:.2%}, "
        f"{difference * 100:+.2f} points and {beside} the limit of {limit * 100:g} ({chance})."
    )


def _odds(evidence: float) -> str:
    return f"{math.exp(evidence):,.0f}" if evidence < math.log(1e6) else "over a million"


def _stability_index(canary: Sequence[float], champion: Sequence[float]) -> float:
    """Population stability index of counts by octile, half a count added to each so that none is infinite."""
    ours, theirs = ([count + 0.5 for count in counts] for counts in (canary, champion))
    a_total, b_total = sum(ours), sum(theirs)
    return sum(
        (a / a_total - b / b_total) * math.log((a / a_total) / (b / b_total))
        for a, b in zip(ours, theirs, strict=True)
    )


def _start_ms(period: Period) -> int:
    return period.start_ms


def _percent(share_bp: int) -> str:
    return f"{share_bp / 100:g} %"
