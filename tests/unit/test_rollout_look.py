"""The verdict on a rollout: what makes it wait, go on, end or be taken back, and with which sentence."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.guard_policy import GuardName, Guards, Limits, Weights
from quicksilver.instants import epoch_ms, utc_iso
from quicksilver.rollout.comparison import MOST_HISTORY, Comparison, Yardstick
from quicksilver.rollout.look import GuardReading, Look, Outcome, Verdict, look
from quicksilver.rollout.sequential import Block
from quicksilver.rollout_plan import Rollout
from quicksilver.rollup_counts import LATENCY_BINS, SCORE_BINS, ArmCounts, ArmKey, Period
from quicksilver.routing import Role

MINUTE = 60_000
START = epoch_ms("2026-11-26T12:00:00.000Z")
CHAMPION, CANARY = "card-fraud@12", "card-fraud@14"


def spread(total: int, shares: Sequence[float], bins: int, first: int) -> tuple[int, ...]:
    """So many counts over neighbouring bins, by shares that add up to 1."""
    below = [0, *(round(total * each) for each in accumulate(shares))]
    counts = [0] * bins
    counts[first : first + len(shares)] = [end - start for start, end in pairwise(below)]
    return tuple(counts)


def counts(
    requests: int,
    *,
    errors: int = 0,
    not_loaded: int = 0,
    degraded: float = 0.01,
    approved: float = 0.95,
    slow: float = 0.005,
    score_bin: int = 10,
) -> ArmCounts:
    answered = requests - errors
    late = round(answered * slow)
    latency = list(spread(answered - late, (0.2, 0.6, 0.2), LATENCY_BINS, 20))
    latency[40] += late
    return ArmCounts(
        requests=requests,
        errors=errors,
        not_loaded=not_loaded,
        degraded=round(answered * degraded),
        approved=round(answered * approved),
        latency=tuple(latency),
        scores=spread(answered, (0.125,) * 8, SCORE_BINS, score_bin),
    )


def period(minute: float, champion: ArmCounts | None, canary: ArmCounts | None = None, **more: Any) -> Period:
    arms = {ArmKey(CHAMPION, Role.CHAMPION): champion, ArmKey(CANARY, Role.CANARY): canary, **more}
    return Period(START + round(minute * MINUTE), {key: arm for key, arm in arms.items() if arm})  # type: ignore[misc]


AS_EVER = counts(3_000, errors=3)
HISTORY = tuple(period(minute, AS_EVER) for minute in range(-10, 0))


def minutes(
    until: int, canary: ArmCounts, champion: ArmCounts = AS_EVER, *, start: int = 0
) -> tuple[Period, ...]:
    return tuple(period(minute, champion, canary) for minute in range(start, until))


def plan(**more: Any) -> Rollout:
    content = {
        "number": 7,
        "model": CANARY,
        "steps_bp": (100, 500, 2_500, 5_000, 10_000),
        "bake_seconds": 600,
        "started_at": utc_iso(START),
        "step_at": utc_iso(START),
    }
    return Rollout.model_validate({**content, **more})


def at(minute: float, periods: Sequence[Period], rollout: Rollout | None = None) -> Look:
    return look(rollout or plan(), CHAMPION, [*HISTORY, *periods], START + round(minute * MINUTE))


def reading(seen: Look, guard: GuardName) -> GuardReading:
    return next(each for each in seen.guards if each.name is guard)


def test_a_canary_like_the_champion_advances_once_it_has_baked() -> None:
    seen = at(10, minutes(10, counts(30)))
    assert (seen.verdict, seen.reason) == (
        Verdict.ADVANCE,
        "Every guard is within its limit: on to 5 %.",
    )
    assert (seen.canary_requests, seen.step_requests, seen.champion_requests) == (300, 300, 30_000)
    assert {each.outcome for each in seen.guards} == {Outcome.OK}
    assert [each.name for each in seen.guards] == list(GuardName)


def test_it_bakes_first() -> None:
    seen = at(9.5, minutes(10, counts(30)))
    assert (seen.verdict, seen.reason) == (Verdict.HOLD, "1 % has baked 570 of 600 seconds.")


def test_it_needs_its_requests_in_the_present_step() -> None:
    rollout = plan(step=1, step_at=utc_iso(START + 10 * MINUTE))
    seen = at(20, [*minutes(10, counts(30)), *minutes(20, counts(19), start=10)], rollout)
    assert (seen.verdict, seen.step_requests, seen.canary_requests) == (Verdict.HOLD, 190, 490)
    assert seen.reason == "5 % has seen 190 of 200 requests."
    assert at(21, minutes(21, counts(19)), rollout).verdict is Verdict.ADVANCE


def test_a_period_in_which_the_step_began_does_not_count_for_it() -> None:
    rollout = plan(step=1, step_at=utc_iso(START + 10 * MINUTE + 1))
    assert at(21, minutes(21, counts(30)), rollout).step_requests == 10 * 30


@pytest.mark.parametrize(
    ("rollout", "verdict"),
    [
        (plan(step=2), Verdict.ADVANCE),
        (plan(step=3), Verdict.COMPLETE),
        (plan(steps_bp=(5_000, 10_000)), Verdict.COMPLETE),
    ],
    ids=["more steps", "the last before all", "two steps"],
)
def test_the_rollout_is_complete_when_the_next_step_is_everything(rollout: Rollout, verdict: Verdict) -> None:
    assert at(10, minutes(10, counts(300)), rollout).verdict is verdict


def test_a_paused_rollout_goes_no_further_and_is_still_taken_back() -> None:
    good = minutes(10, counts(30))
    assert at(10, good).verdict is Verdict.ADVANCE
    seen = at(10, good, plan(paused=True))
    assert (seen.verdict, seen.reason) == (Verdict.HOLD, "The rollout is paused.")
    assert at(10, minutes(10, counts(30, errors=30)), plan(paused=True)).verdict is Verdict.ROLL_BACK
    sure = minutes(10, counts(30, approved=0.7))
    assert at(10, sure, plan(paused=True)).verdict is Verdict.ROLL_BACK


@pytest.mark.parametrize(
    ("guard", "canary"),
    [
        (GuardName.ERROR_RATE, counts(30, errors=2)),
        (GuardName.DEGRADED_RATE, counts(30, degraded=0.2)),
        (GuardName.SLOW_RATE, counts(30, slow=0.2)),
        (GuardName.APPROVAL_RATE, counts(30, approved=0.7)),
        (GuardName.APPROVAL_RATE, counts(30, approved=1.0)),
        (GuardName.SCORE_SHIFT, counts(30, score_bin=14)),
    ],
    ids=["errors", "degraded", "slow", "fewer approvals", "more approvals", "scores"],
)
def test_each_guard_rolls_back_by_itself_before_the_step_has_baked(
    guard: GuardName, canary: ArmCounts
) -> None:
    """Twenty minutes at 1 %, with the present minute the twentieth; all other counts are as the champion's."""
    late = plan(bake_seconds=86_400)
    seen = at(20, minutes(20, canary), late)
    guilty = reading(seen, guard)
    assert (seen.verdict, seen.reason) == (Verdict.ROLL_BACK, guilty.sentence)
    assert [each.name for each in seen.guards if each.outcome is Outcome.ROLLED_BACK] == [guard]
    assert guilty.threshold is not None
    assert guilty.evidence >= guilty.threshold
    spared = plan(bake_seconds=86_400, guards=Guards(weights=Weights(**{guard.value: 0.0})))
    assert at(20, minutes(20, canary), spared).verdict is Verdict.HOLD


@pytest.mark.parametrize(
    ("guard", "canary"),
    [
        (GuardName.ERROR_RATE, counts(30)),
        (GuardName.DEGRADED_RATE, counts(30, degraded=0)),
        (GuardName.SLOW_RATE, counts(30, slow=0)),
    ],
)
def test_a_canary_that_is_better_is_not_held(guard: GuardName, canary: ArmCounts) -> None:
    champion = counts(3_000, errors=300, degraded=0.3, slow=0.009)
    periods = [
        *[period(minute, champion) for minute in range(-10, 0)],
        *minutes(60, canary, champion),
    ]
    seen = look(plan(), CHAMPION, periods, START + 60 * MINUTE)
    assert reading(seen, guard).outcome is Outcome.OK


def test_a_difference_over_its_limit_holds_before_it_is_sure() -> None:
    seen = at(10, [*minutes(9, counts(30)), period(9, counts(3_000, errors=3), counts(30, approved=0.6))])
    found = reading(seen, GuardName.APPROVAL_RATE)
    assert (seen.verdict, found.outcome) == (Verdict.HOLD, Outcome.OVER_LIMIT)
    assert seen.reason == found.sentence
    assert "over the limit of 2" in seen.reason


def test_a_difference_within_its_limit_is_no_reason_to_roll_back_however_sure_it_is() -> None:
    periods = minutes(60, counts(3_000, approved=0.94))
    seen = at(60, periods)
    found = reading(seen, GuardName.APPROVAL_RATE)
    assert found.threshold is not None
    assert found.evidence > found.threshold
    assert (seen.verdict, found.outcome) == (Verdict.ADVANCE, Outcome.OK)
    stricter = plan(guards=Guards(limits=Limits(approval_rate=0.005)))
    assert at(60, periods, stricter).verdict is Verdict.ROLL_BACK


def test_a_hard_failure_rolls_back_within_the_minute() -> None:
    seen = at(0.9, [period(0, counts(1_980, errors=2), counts(25, errors=20))])
    assert seen.verdict is Verdict.ROLL_BACK
    assert (
        seen.reason == "card-fraud@14 failed 20 of its last 25 requests; the champion failed 0.1% of its own."
    )


def test_a_hard_failure_need_not_wait_for_the_first_whole_minute() -> None:
    begun = plan(started_at=utc_iso(START + 20_000), step_at=utc_iso(START + 20_000))
    seen = at(0.6, [period(0, AS_EVER, counts(30, errors=30))], begun)
    assert seen.verdict is Verdict.ROLL_BACK
    assert seen.canary_requests == 0, "the guards weigh whole periods of the rollout only"
    # Nor does it look further back than the period in which it began.
    before = [period(-1, AS_EVER, counts(30, errors=30)), period(0, AS_EVER, counts(30))]
    assert at(0.6, before, begun).verdict is Verdict.HOLD


def test_too_few_failures_are_no_hard_failure() -> None:
    seen = at(0.9, [period(0, counts(1_980), counts(19, errors=19))], plan(guards=Guards(alpha=1e-300)))
    assert seen.verdict is Verdict.HOLD


def test_what_the_champion_fails_too_is_no_hard_failure_of_the_canary() -> None:
    outage = period(0, counts(1_980, errors=1_900), counts(100, errors=98))
    assert at(0.9, [outage]).verdict is Verdict.HOLD


def test_a_canary_that_no_environment_can_load_is_a_hard_failure() -> None:
    """Its entities are answered by the champion's last good route, so it has no request of its own."""
    seen = at(0.9, [period(0, counts(3_000), counts(0, not_loaded=3_000))])
    assert seen.verdict is Verdict.ROLL_BACK
    assert "failed 30 of its last 30 requests, 30 of them because it could not be loaded" in seen.reason


def test_one_environment_of_a_hundred_that_cannot_load_it_is_none() -> None:
    periods = [period(minute, counts(3_000, errors=3), counts(297, not_loaded=30)) for minute in range(10)]
    assert at(10, periods, plan(step=1)).verdict is Verdict.ADVANCE


def test_a_hard_failure_does_not_hide_behind_hours_of_success() -> None:
    periods = [*minutes(300, counts(3_000)), period(300, counts(3_000), counts(3_000, errors=3_000))]
    assert "card-fraud@14 failed 3,000 of its last 9,000" in at(300.5, periods).reason


def test_a_canary_without_a_request_is_waited_for() -> None:
    seen = at(60, [period(minute, counts(3_000)) for minute in range(60)])
    assert (seen.verdict, seen.reason) == (
        Verdict.HOLD,
        "No request has been assigned to card-fraud@14 yet.",
    )
    assert {each.outcome for each in seen.guards} == {Outcome.NO_DATA}


def test_no_period_at_all_is_waited_for() -> None:
    seen = look(plan(), CHAMPION, [], START + 600_000)
    assert (seen.verdict, seen.canary_requests) == (Verdict.HOLD, 0)


def test_empty_minutes_say_nothing_and_the_step_waits_for_its_requests() -> None:
    quiet = [period(minute, counts(3_000, errors=3), counts(30)) for minute in (0, 2, 9)]
    seen = at(10, quiet)
    assert (seen.verdict, seen.reason) == (Verdict.HOLD, "1 % has seen 90 of 200 requests.")
    both = at(10, [*quiet, *[period(minute, None, None) for minute in (1, 3, 5)]])
    assert both == seen


def test_periods_without_a_champion_compare_nothing() -> None:
    alone = [period(minute, None, counts(300, approved=0.1)) for minute in range(10)]
    seen = at(10, alone)
    assert {each.outcome for each in seen.guards} == {Outcome.NO_DATA}
    assert seen.verdict is Verdict.HOLD
    assert seen.reason.startswith("There is nothing to compare yet for error_rate, degraded_rate")


def test_without_history_the_first_period_becomes_it() -> None:
    periods = minutes(10, counts(30))
    seen = look(plan(), CHAMPION, periods, START + 10 * MINUTE)
    found = reading(seen, GuardName.ERROR_RATE)
    assert seen.verdict is Verdict.ADVANCE
    assert found.outcome is Outcome.OK
    only = look(plan(), CHAMPION, periods[:1], START + 10 * MINUTE)
    assert reading(only, GuardName.ERROR_RATE).outcome is Outcome.NO_DATA


def test_periods_of_the_future_are_left_for_later() -> None:
    future = period(30, counts(3_000), counts(3_000, errors=3_000))
    assert at(10, [*minutes(10, counts(30)), future]) == at(10, minutes(10, counts(30)))


def test_a_step_that_begins_in_the_future_has_not_baked() -> None:
    rollout = plan(step=1, step_at=utc_iso(START + 60 * MINUTE))
    seen = at(10, minutes(10, counts(300)), rollout)
    assert (seen.verdict, seen.reason) == (Verdict.HOLD, "5 % has baked 0 of 600 seconds.")
    bad = at(10, minutes(10, counts(300, approved=0.5)), rollout)
    assert bad.verdict is Verdict.ROLL_BACK


def test_an_earlier_rollout_of_the_same_canary_is_not_this_one() -> None:
    before = [period(minute, counts(3_000), counts(30, errors=30)) for minute in (-3, -2, -1)]
    seen = at(10, [*before, *minutes(10, counts(30))])
    assert (seen.verdict, seen.canary_requests) == (Verdict.ADVANCE, 300)


def test_the_holdout_is_the_champion_too() -> None:
    holdout = {ArmKey(CHAMPION, Role.CHAMPION, holdout=True): counts(1_000, approved=0.5)}
    seen = at(10, [Period(each.start_ms, {**each.arms, **holdout}) for each in minutes(10, counts(30))])
    found = reading(seen, GuardName.APPROVAL_RATE)
    assert seen.champion_requests == 40_000
    assert found.champion == pytest.approx((0.95 * 3_000 + 0.5 * 1_000) / 4_000, abs=1e-3)


def test_a_base_rate_that_drifts_while_the_share_grows_is_no_difference() -> None:
    """Pooled, the canary would have approved 65 % and the champion 85 %: Simpson's paradox."""
    periods = [
        *minutes(10, counts(300, approved=0.9), counts(3_000, approved=0.9)),
        *minutes(20, counts(1_500, approved=0.6), counts(500, approved=0.6), start=10),
    ]
    found = reading(at(20, periods), GuardName.APPROVAL_RATE)
    assert found.difference == pytest.approx(0, abs=1e-9)
    assert found.outcome is Outcome.OK
    assert found.threshold is not None
    assert found.evidence < found.threshold


def test_requests_of_one_entity_count_for_less() -> None:
    once, deflated = (
        reading(
            at(10, minutes(10, counts(30, approved=0.8)), plan(guards=Guards(requests_per_entity=copies))),
            GuardName.APPROVAL_RATE,
        )
        for copies in (1.0, 10.0)
    )
    assert once.outcome is Outcome.ROLLED_BACK
    assert (deflated.outcome, deflated.difference) == (Outcome.OVER_LIMIT, once.difference)


PERIODS = st.lists(
    st.builds(
        lambda minute, ours, theirs, errors, share: period(
            minute,
            counts(theirs, errors=errors % (theirs + 1), approved=share),
            counts(ours, errors=errors % (ours + 1)),
        ),
        st.integers(-20, 40),
        st.integers(0, 300),
        st.integers(0, 3_000),
        st.integers(0, 50),
        st.floats(0, 1),
    ),
    max_size=12,
    unique_by=lambda each: each.start_ms,
)


@settings(deadline=None)
@given(PERIODS, st.randoms(use_true_random=False))
def test_the_order_of_periods_does_not_matter_and_the_verdict_is_explained(
    periods: list[Period], shuffler: random.Random
) -> None:
    seen = look(plan(), CHAMPION, periods, START + 20 * MINUTE)
    shuffler.shuffle(periods)
    assert look(plan(), CHAMPION, periods, START + 20 * MINUTE) == seen
    assert seen.reason
    assert Look.model_validate_json(seen.model_dump_json()) == seen
    if seen.verdict in (Verdict.ADVANCE, Verdict.COMPLETE):
        assert {each.outcome for each in seen.guards} == {Outcome.OK}
        assert seen.step_requests >= 200


def test_slow_answers_are_those_beyond_the_99th_percentile() -> None:
    latency = [0] * LATENCY_BINS
    latency[10], latency[11], latency[12] = 9_800, 150, 50
    yardstick = Yardstick.of(ArmCounts(requests=10_000, latency=tuple(latency)))
    assert yardstick.slow_from == 12
    assert yardstick.outcomes(ArmCounts(requests=10_000, latency=tuple(latency)))[GuardName.SLOW_RATE] == (
        9_950,
        50,
    )


@given(st.lists(st.integers(0, 1_000), min_size=SCORE_BINS, max_size=SCORE_BINS))
def test_octiles_take_every_score_once_and_hold_an_eighth_as_nearly_as_bins_allow(scores: list[int]) -> None:
    whole = ArmCounts(requests=sum(scores), scores=tuple(scores))
    octiles = Yardstick.of(whole).outcomes(whole)[GuardName.SCORE_SHIFT]
    assert sum(octiles) == sum(scores)
    assert len(octiles) == 8
    assert max(octiles) <= sum(scores) / 8 + max(scores) + 1


def test_what_is_expected_comes_from_earlier_periods_only() -> None:
    """A bet that knew the block would win on every block."""
    comparison = Comparison(CHAMPION, CANARY, START)
    for each in HISTORY:
        comparison = comparison.after(each)
    before = comparison.yardstick
    assert before is not None
    after = comparison.after(period(0, counts(3_000, approved=0.1), counts(30, approved=0.1)))
    assert after.yardstick != before
    assert after.matched[GuardName.APPROVAL_RATE].process == comparison.matched[
        GuardName.APPROVAL_RATE
    ].process.after(Block((27, 3), (2_700, 300), before.expected[GuardName.APPROVAL_RATE]))


@given(st.lists(st.integers(0, 40_000), max_size=30))
def test_history_is_long_enough_and_never_endless(requests: list[int]) -> None:
    comparison = Comparison(CHAMPION, CANARY, START)
    for minute, count in enumerate(requests):
        comparison = comparison.after(period(-100 + minute, ArmCounts(requests=count)))
    kept = comparison.older.requests + comparison.younger.requests
    assert min(sum(requests), MOST_HISTORY // 2) <= kept <= MOST_HISTORY + 40_000
