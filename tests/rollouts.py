"""Looks at rollouts, and a stage in memory on which one runs, every store of which can be told to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from quicksilver.announcements import Announcements
from quicksilver.guard_policy import Guards
from quicksilver.history import Action, Entry
from quicksilver.instants import utc_iso
from quicksilver.memory import (
    ManualClock,
    MemoryAnnouncementCursor,
    MemoryAnnouncer,
    MemoryArtifactStore,
    MemoryContractStore,
    MemoryMetrics,
    MemoryRegistryStore,
    MemorySigner,
)
from quicksilver.model_version import ModelVersion, State
from quicksilver.ports import Change
from quicksilver.registry import Registry, Stores
from quicksilver.rollout.look import GuardReading, Look, Verdict
from quicksilver.rollout.run import RolloutRun
from quicksilver.rollout_registry import Rollouts
from quicksilver.rollup_counts import LATENCY_BINS, SCORE_BINS, ArmCounts, ArmKey, Period
from quicksilver.routing import FULL_SHARE_BP, Role, Route, sole_champion
from tests.approvals import ADA, GRACE

ROBOT = "arn:aws:sts::000000000000:assumed-role/quicksilver-test-rollout/run"


def a_reading(name: str = "error_rate", **facts: Any) -> GuardReading:
    usual: dict[str, Any] = {
        "champion": 0.001,
        "canary": 0.001,
        "difference": 0.0,
        "limit": 0.01,
        "evidence": 0.1,
        "threshold": 500.0,
        "outcome": "ok",
        "sentence": "The error rate is within its limit.",
    }
    return GuardReading(name=name, **{**usual, **facts})


def a_look(verdict: Verdict, **facts: Any) -> Look:
    usual: dict[str, Any] = {
        "reason": f"It is time to {verdict.value}.",
        "guards": (a_reading(),),
        "canary_requests": 1_000,
        "champion_requests": 99_000,
        "step_requests": 1_000,
        "baked_seconds": 600,
    }
    return Look(verdict=verdict, **{**usual, **facts})


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
            Stores(store, artifacts, artifacts, MemoryContractStore()),
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
