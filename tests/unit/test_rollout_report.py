"""The report on a rollout says what was decided, and what the guards saw, by the very code that decided."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import example, given, settings, strategies as st

from quicksilver.instants import epoch_ms, utc_iso
from quicksilver.reports.rollout import DAY_MS, POINTS, RolloutReport, report
from quicksilver.reports.rollout_decisions import FoundRollout, Standing, find_rollout, rollout_numbers
from quicksilver.reports.rollout_page import render_rollout
from quicksilver.rollout.look import Verdict, look
from quicksilver.rollout.run import HISTORY_MS
from quicksilver.rollout_registry import Move
from quicksilver.rollup_counts import LATENCY_BOUNDS_US, SCORE_BINS, ArmCounts, ArmKey, Period
from quicksilver.routing import Role
from tests.approvals import GRACE
from tests.rollouts import CANARY, CHAMPION, ENDPOINT, MINUTE_MS, REQUESTS, World, counts
from tests.unit.test_model_card import Tags


class Kept:
    """A rollup of periods that are given."""

    def __init__(self, periods: Sequence[Period]) -> None:
        self._periods = periods
        self.asked: list[tuple[int, int]] = []

    def periods(self, endpoint: str, *, since_ms: int, until_ms: int) -> Sequence[Period]:
        self.asked.append((since_ms, until_ms))
        return [period for period in self._periods if since_ms <= period.start_ms < until_ms]


def found(world: World, number: int = 2) -> FoundRollout:
    rollout = find_rollout(world.entries, number)
    assert rollout is not None
    return rollout


def reported(world: World, number: int = 2) -> RolloutReport:
    return report(found(world, number), world.rollup, now_ms=world.clock.now_ms())  # type: ignore[arg-type]


def looked_at(world: World, minutes: int, *, canary_errors: float = 0.0) -> World:
    for _ in world.minutes(minutes, canary_errors=canary_errors):
        world.run.run()
    return world


@pytest.fixture(scope="module")
def completed() -> World:
    return looked_at(World(), 8)


@pytest.fixture(scope="module")
def rolled_back() -> World:
    return looked_at(World(), 6, canary_errors=0.05)


# -- what was decided --


def test_of_a_completed_rollout_it_says_what_by_whom_how_it_ended_and_why(completed: World) -> None:
    said = reported(completed)
    assert said.standing is Standing.COMPLETED
    assert said.sentence == (
        "Rollout 2 of card-fraud@2 against card-fraud@1, started by user/grace (Better), completed after 4 min: "
        "Every guard is within its limit: card-fraud@2 becomes the champion."
    )
    moves = [(each.move, each.share_bp) for each in said.decisions if each.move]
    assert moves == [(Move.STARTED, 500), (Move.ADVANCED, 5_000), (Move.COMPLETED, 10_000)]
    assert [each.entry for each in said.decisions] == [
        entry.number for entry in completed.entries if "rollout" in entry.details
    ]


def test_of_one_that_was_rolled_back_it_says_from_where_and_what_the_guard_said(rolled_back: World) -> None:
    said = reported(rolled_back)
    last = said.decisions[-1]
    assert (said.standing, last.move, last.share_bp) == (Standing.ROLLED_BACK, Move.ROLLED_BACK, 0)
    assert "was rolled back from 5 % after" in said.sentence
    assert last.look is not None
    assert last.look.reason.rstrip(".") in said.sentence
    assert said.until == last.at


def test_what_people_did_is_told_too() -> None:
    world = World()
    assert "is at 5 % after 0 s." in reported(world).sentence
    world.clock.advance_ms(90_000)
    world.rollouts.pause(ENDPOINT, reason="A holiday.", who=GRACE)
    assert "is paused at 5 % after 1 min 30 s: A holiday." in reported(world).sentence
    looked_at(world, 1)
    assert reported(world).standing is Standing.PAUSED, "a look that holds does not end a pause"
    world.rollouts.resume(ENDPOINT, reason="Back.", who=GRACE)
    assert reported(world).standing is Standing.RUNNING
    world.rollouts.abort(ENDPOINT, reason="Complaints", who=GRACE)
    assert "was aborted by user/grace at 5 % after 2 min 30 s: Complaints." in reported(world).sentence


def test_each_rollout_of_an_endpoint_is_found_by_its_number() -> None:
    world = World()
    assert rollout_numbers(world.entries) == [2]
    assert find_rollout(world.entries, 3) is None
    assert find_rollout([], 2) is None
    first = reported(world)
    world.rollouts.abort(ENDPOINT, reason="Anew.", who=GRACE)
    plan = first.plan
    world.rollouts.start(
        ENDPOINT,
        CANARY,
        steps_bp=(100, 10_000),
        bake_seconds=60,
        guards=plan.guards,
        reason="Again.",
        who=GRACE,
    )
    assert rollout_numbers(world.entries) == [2, 4]
    assert (found(world, 2).plan, found(world, 2).standing) == (plan, Standing.ABORTED)
    assert (found(world, 4).plan.steps_bp, found(world, 4).standing) == ((100, 10_000), Standing.RUNNING)


# -- what the rollup says --


@pytest.mark.parametrize("name", ["completed", "rolled_back"])
def test_the_guards_over_time_pass_through_what_each_decision_saw(
    name: str, request: pytest.FixtureRequest
) -> None:
    said = reported(request.getfixturevalue(name))
    checked = 0
    for decision in said.decisions:
        for guard in decision.look.guards if decision.look else ():
            series = next(series for series in said.guards if series.name == guard.name)
            assert (series.limit, series.threshold) == (guard.limit, guard.threshold)
            at_ms = epoch_ms(decision.at) - MINUTE_MS
            points = [point for point in series.points if point.at_ms == at_ms]
            assert guard.difference is None or len(points) == 1
            for point in points:
                checked += 1
                assert (point.canary, point.champion) == (guard.canary, guard.champion)
                assert (point.difference, point.evidence) == (guard.difference, guard.evidence)
    assert checked >= 5


def test_the_shares_of_requests_are_those_declared_and_go_back_with_them(rolled_back: World) -> None:
    said = reported(rolled_back)
    shares = {point.at_ms: point.canary / point.requests for point in said.shares}
    start, end = epoch_ms(said.plan.started_at), epoch_ms(said.until)
    assert {share for at, share in shares.items() if start <= at < end} == {0.05}
    assert {share for at, share in shares.items() if at < start or at >= end} == {0.0}
    assert min(shares) < start
    assert max(shares) >= end


def test_a_canary_that_has_become_champion_has_all_requests(completed: World) -> None:
    said = reported(completed)
    after = [point for point in said.shares if point.at_ms >= epoch_ms(said.until)]
    assert after
    assert all(point.canary == point.requests == REQUESTS for point in after)


def test_the_holdout_is_no_part_of_the_shares_and_is_the_champions_in_what_arms_did() -> None:
    world = World()
    now = world.clock.now_ms()
    arms = {
        ArmKey(CHAMPION, Role.CHAMPION): counts(900, 0.0),
        ArmKey(CHAMPION, Role.CHAMPION, holdout=True): counts(50, 0.0),
        ArmKey(CANARY, Role.CANARY): counts(100, 0.1),
    }
    said = report(found(world), Kept([Period(now, arms)]), now_ms=now + MINUTE_MS)  # type: ignore[arg-type]
    (point,) = said.shares
    assert (point.canary, point.requests) == (100, 1_000)
    canary, champion = said.arms
    assert (canary.requests, canary.errors, sum(canary.scores)) == (100, 10, 90)
    assert (champion.requests, champion.approved) == (950, counts(900, 0).approved + counts(50, 0).approved)


@pytest.mark.parametrize("name", ["completed", "rolled_back"])
def test_arms_are_what_was_counted_while_the_rollout_ran(name: str, request: pytest.FixtureRequest) -> None:
    world = request.getfixturevalue(name)
    said = reported(world)
    start, end = epoch_ms(said.plan.started_at), epoch_ms(said.until)
    every = world.rollup.periods(ENDPOINT, since_ms=start, until_ms=end + 1)
    for arm in said.arms:
        own = [period.arms.get(ArmKey(arm.model, arm.role), ArmCounts()) for period in every]
        assert arm.requests == sum(each.requests for each in own) > 0
        assert sum(arm.scores) == sum(arm.latency) == arm.requests - arm.errors
        assert arm.median_us == arm.p99_us == LATENCY_BOUNDS_US[20]


def test_a_quantile_that_lies_beyond_the_last_bound_is_not_known() -> None:
    world = World()
    now = world.clock.now_ms()
    slow = ArmCounts(2, 0, 0, 0, 2, (1, *(0,) * 78, 1), (2, *(0,) * (SCORE_BINS - 1)))
    rollup = Kept([Period(now, {ArmKey(CANARY, Role.CANARY): slow})])
    canary, champion = report(found(world), rollup, now_ms=now).arms  # type: ignore[arg-type]
    assert (canary.median_us, canary.p99_us) == (LATENCY_BOUNDS_US[0], None)
    assert (champion.median_us, champion.p99_us) == (None, None)


# -- however long it is --


@settings(max_examples=15, deadline=None)
@given(
    gaps=st.lists(st.integers(1_000, 3 * 3_600_000), min_size=1, max_size=60),
    extra_ms=st.integers(0, 3_600_000),
)
@example(gaps=[120_000] * 900, extra_ms=60_000)
def test_a_series_is_short_loses_no_request_and_ends_where_a_look_does(
    gaps: list[int], extra_ms: int
) -> None:
    world = World()
    plan = found(world).plan
    start = epoch_ms(plan.started_at)
    arms = {ArmKey(CHAMPION, Role.CHAMPION): counts(300, 0.0), ArmKey(CANARY, Role.CANARY): counts(20, 0.1)}
    periods = [Period(start - HISTORY_MS + at, arms) for at in accumulate(gaps)]
    now = max(start, periods[-1].start_ms) + extra_ms
    rollup = Kept(periods)
    said = report(found(world), rollup, now_ms=now, keep_days=400)  # type: ignore[arg-type]
    during = [period for period in periods if period.start_ms >= start]
    assert len(said.shares) <= POINTS
    assert all(len(series.points) <= POINTS for series in said.guards)
    assert said.arms[0].requests == 20 * len(during)
    assert sum(point.canary for point in said.shares if point.at_ms >= start) >= 20 * (len(during) - 1)
    assert tuple(series.last for series in said.guards) == look(plan, CHAMPION, periods, now).guards
    for (_, end), (since, until) in zip(rollup.asked, rollup.asked[1:], strict=False):
        assert end == since < until, "no period is left out, and none read twice"
    assert all(until - since <= DAY_MS for since, until in rollup.asked)


def test_what_the_rollup_has_forgotten_is_said_and_the_rest_is_reported(rolled_back: World) -> None:
    past = rolled_back.clock.now_ms() + 35 * DAY_MS - 3 * MINUTE_MS
    some = report(found(rolled_back), rolled_back.rollup, now_ms=past)  # type: ignore[arg-type]
    assert some.gone_before == utc_iso(past - 35 * DAY_MS)
    assert all(point.at_ms >= past - 35 * DAY_MS for point in some.shares)
    later = report(found(rolled_back), rolled_back.rollup, now_ms=past + DAY_MS)  # type: ignore[arg-type]
    assert (later.shares, later.arms[0].requests) == ((), 0)
    assert later.sentence == reported(rolled_back).sentence
    assert later.decisions == reported(rolled_back).decisions
    assert "is gone" in render_rollout(later)
    assert reported(rolled_back).gone_before is None


def test_a_clock_behind_the_registrys_is_no_fault() -> None:
    world = World()
    said = report(found(world), world.rollup, now_ms=world.clock.now_ms() - 5_000)  # type: ignore[arg-type]
    assert "after 0 s" in said.sentence


def test_as_json_it_reads_back_the_same(completed: World) -> None:
    said = reported(completed)
    text = json.dumps(said.model_dump(mode="json"), allow_nan=False)
    assert RolloutReport.model_validate_json(text) == said


# -- the page --


def test_the_page_has_the_sentence_every_picture_and_the_numbers_of_each_decision(rolled_back: World) -> None:
    said = reported(rolled_back)
    page = render_rollout(said)
    assert Tags(page).open == []
    titles = re.findall(r'<img src="data:image/svg\+xml;base64,[^"]+" alt="([^"]+)">', page)
    assert len(titles) == 8, titles
    for words in ("share over time", "error rate", "score shift", "Score distributions", "Latency by arm"):
        assert any(words in title for title in titles), words
    for words in ("rolled back", "over a million to 1 against chance", "its guards", "user/grace"):
        assert words in page, words
    looks = [each for each in said.decisions if each.look]
    assert looks[-1].look is not None
    assert looks[-1].look.verdict is Verdict.ROLL_BACK
    assert page == render_rollout(reported(rolled_back))


def test_a_rollout_that_has_just_begun_has_a_page() -> None:
    world = World()
    page = render_rollout(report(found(world), Kept([]), now_ms=world.clock.now_ms()))  # type: ignore[arg-type]
    assert Tags(page).open == []
    assert page.count("data:image/svg+xml") == 1


def test_what_people_wrote_is_text_on_the_page() -> None:
    world = World()
    world.rollouts.abort(ENDPOINT, reason="<script>alert(1)</script> $x_", who=GRACE)
    page = render_rollout(reported(world))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
