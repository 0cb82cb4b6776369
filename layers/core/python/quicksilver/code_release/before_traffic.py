"""Before any traffic: a new function version must give every golden row of every arm, and answer as the live one does.

For each arm of the registry's current route, shadows too: the package's golden rows. For each arm that answers: the
endpoint's saved events, one by one::

    live ── new ── live      a difference counts where both live answers are the same and nothing was late:
                             features may change between two reads, and then all three are asked again

A route that changes meanwhile is checked anew, a few times.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from quicksilver.code_release.check import Presence, Rehearsal
from quicksilver.code_release.conversation import ROUTES, Conversation, Live, RouteMoved
from quicksilver.code_release.deployment import Deployment, FunctionVersions, Releases
from quicksilver.code_release.golden import GoldenRows, in_time
from quicksilver.code_release.judgement import difference
from quicksilver.code_release.provisioned import Warmth
from quicksilver.errors import ReleaseRefused
from quicksilver.ports import Clock, Deadline, RegistryStore
from quicksilver.routing import Arm, Role, Route

logger = logging.getLogger(__name__)

ROUNDS = 3
"""How often an event is asked about, where its answers do not settle."""
BUDGET_SECONDS = 7 * 60
"""For the checks: with five minutes for provisioned concurrency below the hook's own timeout, so that CodeDeploy is told."""


class BeforeTraffic:
    """Checks deployments of one stage's score functions.

    ``executions`` is the provisioned concurrency of an endpoint that has any; ``events`` are saved events of API Gateway by
    name, of which those that are ``changed`` by the release, as its author says, are not compared.
    """

    def __init__(
        self,
        versions: FunctionVersions,
        *,
        releases: Releases,
        registry: RegistryStore,
        golden: GoldenRows,
        warmth: Warmth,
        executions: Mapping[str, int],
        events: Mapping[str, Mapping[str, Any]],
        changed: Collection[str] = (),
        clock: Clock,
        pause: Callable[[float], None],
    ) -> None:
        self._versions = versions
        self._releases = releases
        self._registry = registry
        self._golden = golden
        self._warmth = warmth
        self._executions = executions
        self._events = events
        self._changed = changed
        self._clock = clock
        self._pause = pause

    def check(self, deployment: Deployment) -> list[str]:
        """Returns what was compared, in sentences. Raises ``ReleaseRefused`` for the first difference, and whatever error
        kept it from comparing."""
        endpoint = self._releases.endpoint(deployment)
        ready = []
        if executions := self._executions.get(endpoint, 0):
            ready.append(self._warmth.make_ready(deployment.function, deployment.target, executions))
        give_up = Deadline.after_ms(self._clock, BUDGET_SECONDS * 1_000)
        new = self._conversation(deployment.function, deployment.target)
        for _ in range(ROUTES):
            route = self._registry.current_route(endpoint)
            live = Live(self._conversation(deployment.function, deployment.current))
            said = None
            try:
                said = self._checked(route, new, live, endpoint, give_up)
            except RouteMoved as moved:
                logger.warning("%s", moved)
            if said is not None and self._registry.current_route(endpoint) == route:
                return [*ready, *said]
            logger.warning("the route of %s has changed during the check: it is checked anew", endpoint)
        raise ReleaseRefused(f"The route of {endpoint} changed {ROUTES} times during the check.")

    def _conversation(self, function: str, version: str) -> Conversation:
        return Conversation(self._versions, function, version, clock=self._clock, pause=self._pause)

    def _checked(
        self, route: Route | None, new: Conversation, live: Live, endpoint: str, give_up: Deadline
    ) -> list[str]:
        new.ask(Presence(route=route.number if route else 0))
        if route is None:
            return [f"{endpoint} has no route yet, so function version {new.version} was only started."]
        said = []
        for arm in route.arms:
            said.append(self._golden.put_to(new, route, arm, give_up, live))
            if arm.role is not Role.SHADOW:
                said += self._rehearsed(route, arm, new, live, give_up)
        if live.incomparable:
            said.append(
                f"Nothing more was compared with function version {live.version}: {live.incomparable}"
            )
        return said

    def _rehearsed(
        self, route: Route, arm: Arm, new: Conversation, live: Live, give_up: Deadline
    ) -> Iterator[str]:
        path = f"/v1/{route.endpoint}/score"
        events = {name: event for name, event in self._events.items() if event.get("path") == path}
        if not events:
            yield f"{arm.model}: there is no saved event for {route.endpoint}."
            return
        if changed := sorted(events.keys() & set(self._changed)):
            yield f"{arm.model}: not compared, since this release changes their answers: {', '.join(changed)}."
        compared = 0
        for name, event in events.items():
            in_time(give_up)
            check = Rehearsal(route=route.number, arm=arm, event=dict(event))
            compared += self._rehearse(name, check, new, live)
        yield f"{arm.model}: {compared} saved events are answered as by function version {live.version}."

    def _rehearse(self, name: str, check: Rehearsal, new: Conversation, live: Live) -> bool:
        """Whether there was anything to compare with: whoever answers, the new one must."""
        where = f"{check.arm.model}, saved event {name}"
        for _ in range(ROUNDS):
            before = None if name in self._changed else live.rehearsal(check)
            ours = new.ask(check).rehearsal
            if ours is None:
                raise ReleaseRefused(f"{where}: function version {new.version} gives no answer.")
            if before is None:
                return False
            parts = difference(ours, before)
            if parts is None:
                return True
            after = live.rehearsal(check)
            settled = not (ours.unsettled or before.unsettled)
            if settled and after is not None and difference(after, before) is None:
                raise ReleaseRefused(
                    f"{where}: {parts}, as function version {live.version} answers before and after."
                )
            self._pause(1.0)
        raise ReleaseRefused(
            f"{where}: no {ROUNDS} rounds gave two answers that can be compared; save an event whose features rest."
        )
