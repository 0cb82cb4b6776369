"""What the schedule runs: it moves routes as the looks say, and it may be killed anywhere, or run twice at once."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest

from quicksilver.announcements import Announcements
from quicksilver.errors import NotAllowed, Unavailable
from quicksilver.history import Action
from quicksilver.instants import epoch_ms
from quicksilver.metrics import Metric
from quicksilver.rollout.look import Look, Verdict
from quicksilver.rollout.run import HISTORY_MS, RolloutRun
from quicksilver.routing import Route
from tests.approvals import GRACE
from tests.rollouts import CANARY, CHAMPION, ENDPOINT, OTHER, ROBOT, Killed, Switch, World


@pytest.fixture
def world() -> World:
    return World()


GOOD = [
    (1, ((CHAMPION, 10_000),)),
    (2, ((CHAMPION, 9_500), (CANARY, 500))),
    (3, ((CHAMPION, 5_000), (CANARY, 5_000))),
    (4, ((CANARY, 10_000),)),
]
BAD = [*GOOD[:2], (3, ((CHAMPION, 10_000),))]


def test_a_good_canary_becomes_the_champion_step_by_step(world: World) -> None:
    said = [world.run.run()[ENDPOINT] for _ in world.minutes(5)]
    assert world.moves() == GOOD
    verdicts = [text.partition(":")[0] for text in said]
    assert verdicts == ["hold", "advance", "hold", "complete", "no rollout"]
    assert world.told() == world.written()
    assert Metric.ROLLOUT_LOOK_FAILED not in world.metrics.counts
    assert world.metrics.counts[Metric.ROLLOUT_LOOKS] == 10, "both endpoints, five times"


def test_a_bad_canary_is_taken_back_and_stays_away(world: World) -> None:
    for _ in world.minutes(5, canary_errors=0.5):
        world.run.run()
    assert world.moves() == BAD
    entry = next(entry for entry in world.entries if entry.details.get("rollout", {}).get("look"))
    assert entry.details["rollout"]["look"]["verdict"] == Verdict.ROLL_BACK
    assert "failed 150 of its last 300 requests" in entry.reason


def test_the_rollup_is_read_from_before_the_rollout_began_until_now(world: World) -> None:
    world.run.run()
    (asked,) = world.rollup.asked
    assert world.route.rollout is not None
    assert asked == (epoch_ms(world.route.rollout.started_at) - HISTORY_MS, world.clock.now_ms())


def test_a_rollout_that_bakes_asks_the_registry_once(world: World) -> None:
    world.rollouts.pause(ENDPOINT, reason="A holiday.", who=GRACE)
    for _ in world.minutes(30):
        world.run.run()
    assert sum(entry.action is Action.JUDGED for entry in world.entries) == 1
    assert world.moves()[-1][0] == 3


# -- killed, and run again --


def uninterrupted(canary_errors: float) -> World:
    world = World()
    for _ in world.minutes(6, canary_errors=canary_errors):
        world.run.run()
    return world


@pytest.mark.parametrize(
    "again_at_once", [True, False], ids=["run again at once", "run again a minute later"]
)
@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("error", [Killed, Unavailable], ids=["killed", "unavailable"])
@pytest.mark.parametrize("canary_errors", [0.0, 0.5], ids=["good", "bad"])
def test_stopped_at_any_call_it_ends_as_if_nothing_had_happened(
    canary_errors: float, error: type[BaseException], after: bool, again_at_once: bool
) -> None:
    whole = uninterrupted(canary_errors)
    assert whole.moves() == (BAD if canary_errors else GOOD)
    assert whole.switch.calls > 50
    for at in range(1, whole.switch.calls + 1):
        world = World(Switch(at, error(), after=after))
        for _ in world.minutes(7, canary_errors=canary_errors):
            try:
                world.run.run()
            except Killed:
                world.run = world.new_run()
                if again_at_once:
                    world.run.run()
        assert world.moves() == whole.moves(), f"stopped at call {at}"
        assert world.told() == world.written(), f"stopped at call {at}"


def test_two_runs_at_once_do_what_one_does() -> None:
    for attempt in range(20):
        world = World()
        runs = [world.run, world.new_run()]
        barrier = Barrier(2)

        def run_together(run: RolloutRun, barrier: Barrier = barrier) -> dict[str, str]:
            barrier.wait()
            return run.run()

        with ThreadPoolExecutor(2) as pool:
            for _ in world.minutes(5):
                list(pool.map(run_together, runs))
        assert world.moves() == GOOD, f"attempt {attempt}"
        assert world.told() == world.written()
        assert Metric.ROLLOUT_LOOK_FAILED not in world.metrics.counts


# -- what goes wrong --


class Broken:
    """A store of which every call fails, for one endpoint or for all."""

    def __init__(self, target: Any, error: Exception, endpoint: str | None = None) -> None:
        self._target, self._error, self._endpoint = target, error, endpoint

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)

        def call(endpoint: str, *args: Any, **more: Any) -> Any:
            if self._endpoint in (None, endpoint):
                raise self._error
            return method(endpoint, *args, **more)

        return call


def with_parts(run: RolloutRun, **parts: Any) -> RolloutRun:
    return replace(run, **parts)


@pytest.mark.parametrize("part", ["registry", "rollup", "decisions"])
@pytest.mark.parametrize("error", [Unavailable("It does not answer."), RuntimeError("secret")])
def test_what_does_not_answer_changes_nothing_and_is_counted(
    world: World, part: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    run = with_parts(world.run, **{part: Broken(getattr(world.run, part), error)})
    for _ in world.minutes(3):
        with caplog.at_level(logging.ERROR):
            said = run.run()
    assert world.moves() == GOOD[:2]
    assert said[ENDPOINT].startswith("failed: ")
    assert "secret" not in said[ENDPOINT] + caplog.text
    assert world.metrics.counts[Metric.ROLLOUT_LOOK_FAILED] >= 3


def test_one_endpoint_that_fails_stands_in_the_way_of_no_other(world: World) -> None:
    run = with_parts(world.run, registry=Broken(world.store, Unavailable("Gone."), OTHER))
    for _ in world.minutes(5):
        said = run.run()
        assert said[OTHER] == "failed: Gone."
    assert world.moves() == GOOD


def test_announcements_that_fail_stop_no_decision_and_are_made_up_for(world: World) -> None:
    broken = Broken(world.announcer, Unavailable("No topic."))
    announcements = Announcements("test", world.store, world.cursor, broken)  # type: ignore[arg-type]
    run = with_parts(world.run, announcements=announcements)
    for _ in world.minutes(5):
        run.run()
    assert world.moves() == GOOD
    assert world.metrics.counts[Metric.ANNOUNCEMENTS_FAILED] == 10
    assert world.told() == set()
    world.run.run()
    assert world.told() == world.written()


class MovedByAnother:
    """A registry in which a person aborts between a look and its decision."""

    def __init__(self, world: World) -> None:
        self._world = world

    def decide_rollout(self, endpoint: str, *, expected: int, look: Look) -> Route:
        self._world.rollouts.abort(endpoint, reason="Complaints.", who=GRACE)
        return self._world.rollouts.decide(endpoint, expected, look, who=ROBOT)


def test_a_route_that_somebody_moved_meanwhile_is_left_to_them(world: World) -> None:
    run = with_parts(world.run, decisions=MovedByAnother(world))
    world.rollup.minute_passes(world.route)
    assert run.run()[ENDPOINT] == "route 2 is not current any more"
    assert world.moves() == [*GOOD[:2], (3, ((CHAMPION, 10_000),))]
    assert Metric.ROLLOUT_LOOK_FAILED not in world.metrics.counts
    assert run.run()[ENDPOINT] == "no rollout"


class Refusing:
    def decide_rollout(self, endpoint: str, *, expected: int, look: Look) -> Route:
        raise NotAllowed("The override of card-fraud@2 expired at 2026-01-01T00:00:00.000Z.")


def test_a_decision_that_is_refused_on_the_very_route_is_a_failure_somebody_hears_of(world: World) -> None:
    run = with_parts(world.run, decisions=Refusing())
    world.rollup.minute_passes(world.route)
    assert run.run()[ENDPOINT].startswith("failed: The override of card-fraud@2 expired")
    assert world.metrics.counts[Metric.ROLLOUT_LOOK_FAILED] == 1
