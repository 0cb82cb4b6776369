"""What the schedule runs: it moves routes as the looks say, and it may be killed anywhere, or run twice at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Barrier
from typing import Any

import pytest

from quicksilver.announcements import Announcements
from quicksilver.errors import NotAllowed, Unavailable
from quicksilver.guard_policy import Guards
from quicksilver.history import Action, Entry
from quicksilver.instants import epoch_ms, utc_iso
from quicksilver.memory import (
    ManualClock,
    MemoryAnnouncementCursor,
    MemoryAnnouncer,
    MemoryArtifactStore,
    MemoryMetrics,
    MemoryRegistryStore,
    MemorySigner,
)
from quicksilver.metrics import Metric
from quicksilver.model_version import ModelVersion, State
from quicksilver.ports import Change
from quicksilver.registry import Registry, Stores
from quicksilver.rollout import Look, Verdict
from quicksilver.rollout_registry import Rollouts
from quicksilver.rollout_run import HISTORY_MS, RolloutRun
from quicksilver.rollup import LATENCY_BINS, SCORE_BINS, ArmCounts, ArmKey, Period
from quicksilver.routing import FULL_SHARE_BP, Role, Route, sole_champion
from tests.approvals import ADA, GRACE
from tests.rollouts import ROBOT

ENDPOINT, OTHER = "card-fraud", "credit-line"
CHAMPION, CANARY = "card-fraud@1", "card-fraud@2"
MINUTE_MS = 60_000
REQUESTS = 6_000
"""Of the endpoint, each minute."""


class Killed(BaseException):
    """What a process that is killed raises: nothing catches it."""


@dataclass
class Switch:
    """Stops one call of all those that pass by it."""

    at: int = 0
    error: BaseException = field(default_factory=Killed)
    after: bool = False
    calls: int = 0

    def passing(self, target: Any) -> Any:
        return _Passing(target, self)

    def call(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        stops = self.calls == self.at
        if stops and not self.after:
            raise self.error
        answer = call()
        if stops:
            raise self.error
        return answer


class _Passing:
    """Any store, of which each call passes by a switch."""

    def __init__(self, target: Any, switch: Switch) -> None:
        self._target, self._switch = target, switch

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        return lambda *args, **more: self._switch.call(lambda: method(*args, **more))


class Decisions:
    """The registry as the run reaches it by its API."""

    def __init__(self, registry: Registry) -> None:
        self._rollouts = Rollouts(registry)

    def decide_rollout(self, endpoint: str, *, expected: int, look: Look) -> Route:
        return self._rollouts.decide(endpoint, expected, look, who=ROBOT)


class Rollup:
    """The counts that the present and past routes of an endpoint would have given, by the minute."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._periods: dict[str, list[Period]] = {}
        self.asked: list[tuple[int, int]] = []

    def minute_passes(self, route: Route, canary_errors: float = 0.0) -> None:
        arms = {
            ArmKey(arm.model, arm.role): counts(
                REQUESTS * arm.share_bp // FULL_SHARE_BP, canary_errors if arm.role is Role.CANARY else 0.0
            )
            for arm in route.answering
        }
        self._periods.setdefault(route.endpoint, []).append(Period(self._clock.now_ms(), arms))
        self._clock.advance_ms(MINUTE_MS)

    def periods(self, endpoint: str, *, since_ms: int, until_ms: int) -> Sequence[Period]:
        self.asked.append((since_ms, until_ms))
        return [
            period for period in self._periods.get(endpoint, []) if since_ms <= period.start_ms < until_ms
        ]


def counts(requests: int, errors: float) -> ArmCounts:
    failed = round(requests * errors)
    answered = requests - failed
    latency, scores = [0] * LATENCY_BINS, [0] * SCORE_BINS
    for at in range(8):
        scores[20 + at] = answered * (at + 1) // 8 - answered * at // 8
    latency[20] = answered
    return ArmCounts(requests, failed, 0, answered // 100, answered * 19 // 20, tuple(latency), tuple(scores))


@dataclass
class World:
    """A stage of two endpoints, one of which has a rollout; every store can be told to fail."""

    switch: Switch = field(default_factory=Switch)
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    store: MemoryRegistryStore = field(default_factory=MemoryRegistryStore)
    cursor: MemoryAnnouncementCursor = field(default_factory=MemoryAnnouncementCursor)
    announcer: MemoryAnnouncer = field(default_factory=MemoryAnnouncer)

    def __post_init__(self) -> None:
        for endpoint in (ENDPOINT, OTHER):
            for number in (1, 2):
                self._approve(endpoint, number)
        self.registry = self._registry(self.store)
        self.rollup = Rollup(self.clock)
        for endpoint in (ENDPOINT, OTHER):
            arm = sole_champion(self.registry.model_version(f"{endpoint}@1"))
            self.registry.set_route(endpoint, [arm], reason="First.", who=GRACE)
        for _ in range(10):
            self.rollup.minute_passes(self.route)
        self.rollouts = Rollouts(self.registry)
        self.rollouts.start(
            ENDPOINT,
            CANARY,
            steps_bp=(500, 5_000, 10_000),
            bake_seconds=120,
            guards=Guards(),
            reason="Better.",
            who=GRACE,
        )
        self.run = self.new_run()

    def new_run(self) -> RolloutRun:
        """What a new execution environment wires."""
        store, cursor, announcer = map(self.switch.passing, (self.store, self.cursor, self.announcer))
        return RolloutRun(
            endpoints=(ENDPOINT, OTHER),
            registry=store,
            rollup=self.switch.passing(self.rollup),
            decisions=self.switch.passing(Decisions(self._registry(store))),
            announcements=Announcements("test", store, cursor, announcer),
            clock=self.clock,
            metrics=self.metrics,
        )

    def _registry(self, store: Any) -> Registry:
        artifacts = MemoryArtifactStore()
        return Registry(
            Stores(store, artifacts, artifacts),
            signer=MemorySigner(),
            policies={},
            load=lambda _: pytest.fail("nothing here loads a model"),
            clock=self.clock,
            pause=lambda _: None,
        )

    def _approve(self, endpoint: str, number: int) -> None:
        head = self.store.head(endpoint)
        at = utc_iso(self.clock.now_ms())
        model = ModelVersion(
            endpoint=endpoint,
            number=number,
            package_sha256=f"{number:064x}",
            fingerprint="f" * 64,
            author=ADA,
            registered_at=at,
            state=State.APPROVED,
        )
        entry = Entry(
            endpoint=endpoint,
            number=head.history + 1,
            previous_sha256=head.sha256,
            action=Action.APPROVED,
            subject=model.name,
            who=GRACE,
            at=at,
        )
        self.store.commit(Change(head, head.next(entry, models=number), entry, model))

    @property
    def route(self) -> Route:
        return self.registry.current_route(ENDPOINT)

    @property
    def entries(self) -> Sequence[Entry]:
        return self.registry.history(ENDPOINT)

    def moves(self) -> list[tuple[int, tuple[tuple[str, int], ...]]]:
        """Every route's number and shares, which is all that a rollout does to an endpoint."""
        return [
            (route.number, tuple((arm.model, arm.share_bp) for arm in route.arms))
            for route in self.registry.routes(ENDPOINT)
        ]

    def minutes(self, count: int, *, canary_errors: float = 0.0) -> Iterator[int]:
        for minute in range(count):
            self.rollup.minute_passes(self.route, canary_errors)
            yield minute

    def told(self) -> set[str]:
        return {one.id for one in self.announcer.announced}

    def written(self) -> set[str]:
        return {
            f"{endpoint}/{entry.number}"
            for endpoint in (ENDPOINT, OTHER)
            for entry in self.registry.history(endpoint)
        }


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
