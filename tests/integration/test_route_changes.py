"""Every change of a route while clients keep scoring: no request fails, and the new route holds within the bound."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event
from typing import TYPE_CHECKING, Any

from quicksilver.routing import FULL_SHARE_BP, Arm, Role
from tests.local_stack import eventually

if TYPE_CHECKING:
    from quicksilver.aws.api import ApiAnswer
    from quicksilver.package import Package
    from tests.local_stack import LocalStack

CLIENTS = 3
BOUND_SECONDS = 15
ENTITIES = 400


@dataclass(frozen=True)
class Given:
    """An answer, and when it was asked for (monotonic seconds)."""

    asked_at: float
    answer: ApiAnswer

    @property
    def route(self) -> int:
        return int(self.answer.content["route"])


@dataclass
class Load:
    """Clients that score one request after another, each for entities of its own."""

    stack: LocalStack
    body: dict[str, Any]
    given: list[Given] = field(default_factory=list)
    stop: Event = field(default_factory=Event)

    def keep_scoring(self, client: int) -> None:
        request = 0
        while not self.stop.is_set():
            entity = f"card_{client}_{request % ENTITIES}"
            asked_at = time.monotonic()
            answer = self.stack.api.score("card-fraud", {**self.body, "entity_id": entity})
            self.given.append(Given(asked_at, answer))
            request += 1

    def settled(self, route: int) -> bool:
        """Whether each of the last answers, twice as many as there are clients, is by that route."""
        last = self.given[-2 * CLIENTS :]
        return len(last) == 2 * CLIENTS and all(
            given.answer.status != 200 or given.route == route for given in last
        )


@contextmanager
def under_load(stack: LocalStack, body: dict[str, Any]) -> Iterator[Load]:
    load = Load(stack, body)
    with ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(load.keep_scoring, client) for client in range(CLIENTS)]
        try:
            yield load
        finally:
            load.stop.set()
        for client in running:
            client.result()


def test_no_request_fails_while_routes_change_and_each_holds_within_fifteen_seconds(
    stack: LocalStack,
    request_body: dict[str, Any],
    package: Package,
    second_package: Package,
    record_property: Any,
) -> None:
    registry = stack.as_("grace").registry
    names = stack.approve(package), stack.approve(second_package)
    one, two = (registry.model_version(name) for name in names)

    def arms(champion: Any, beside: Any = None, role: Role = Role.CANARY, share_bp: int = 0) -> list[Arm]:
        shares = [(champion, Role.CHAMPION, FULL_SHARE_BP - share_bp)]
        shares += [(beside, role, share_bp)] if beside else []
        return [
            Arm(model=model.name, package_sha256=model.package_sha256, role=role, share_bp=share_bp)
            for model, role, share_bp in shares
        ]

    steps = [
        arms(one, two, share_bp=100),
        arms(one, two, share_bp=2_500),
        arms(one, two, share_bp=5_000),
        arms(two),  # the canary becomes the champion
        arms(two, one, share_bp=5_000),
        arms(two),  # abort
        arms(two, one, Role.SHADOW),
        arms(one),
    ]
    changed: list[tuple[float, int]] = []
    with under_load(stack, request_body) as load:
        now = registry.current_route("card-fraud").number
        eventually(lambda: load.settled(now), "every client is answered")
        for step in steps:
            route = registry.set_route("card-fraud", step, reason="Under load.")
            changed.append((time.monotonic(), route.number))
            eventually(lambda number=route.number: load.settled(number), f"route {route.number} holds")

    assert {given.answer.status for given in load.given} == {200}
    for given in load.given:
        content = given.answer.content
        assert content["model"] == content["arm"]["model"], "its arm answered, whatever was being loaded"
        owed = [number for at, number in changed if given.asked_at - at >= BOUND_SECONDS]
        assert given.route >= max(owed, default=0)
    lags = [lag(load.given, at, number) for at, number in changed]
    assert max(lags) <= BOUND_SECONDS
    record_property("answers", len(load.given))
    record_property("seconds_until_each_route_held", [round(seconds, 1) for seconds in lags])

    # Each entity had one arm under each route, and a growing canary kept what it had.
    models = [assigned(load.given, number) for _, number in changed]
    for before, after in pairwise(models[:3]):
        kept = {entity for entity, model in before.items() if model == two.name} & after.keys()
        assert {after[entity] for entity in kept} <= {two.name}
    assert set(models[2].values()) == set(models[4].values()) == {one.name, two.name}
    for place, only in ((3, two), (5, two), (6, two), (7, one)):
        assert set(models[place].values()) == {only.name}


def lag(given: Sequence[Given], changed_at: float, number: int) -> float:
    """How long after a change the last request was asked that an earlier route answered, in seconds."""
    return max((item.asked_at - changed_at for item in given if item.route < number), default=0.0)


def assigned(given: Sequence[Given], number: int) -> dict[str, str]:
    """Each entity's model version under a route; an entity that had two under one route fails."""
    found: dict[str, str] = {}
    for item in given:
        if item.route == number:
            content = item.answer.content
            assert found.setdefault(content["entity_id"], content["model"]) == content["model"]
    return found
