"""Before any traffic: a new function version must give every golden row of every arm, and answer as the live one does.

For each arm of the registry's current route, shadows too: the package's golden rows, read and verified here and not by the
function version that is judged. For each arm that answers: the endpoint's saved events, one by one::

    live ── new ── live      a difference counts where both live answers are the same and nothing was late:
                             features may change between two reads, and then all three are asked again

A route that changes meanwhile is checked anew, a few times.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from quicksilver.code_release.check import GoldenCheck, Presence, Rehearsal, RehearsalAnswer, packed
from quicksilver.code_release.conversation import Conversation, RouteMoved
from quicksilver.code_release.deployment import Deployment, FunctionVersions
from quicksilver.code_release.judgement import difference, judge_alike, judge_golden
from quicksilver.errors import ModelNotLoadable, QuicksilverError, ReleaseRefused
from quicksilver.model_loader import approved, registered
from quicksilver.package import GOLDEN, GoldenRow, Package, open_package
from quicksilver.ports import ArtifactStore, Clock, Deadline, RegistryStore, Signer
from quicksilver.routing import Arm, Role, Route

logger = logging.getLogger(__name__)

ROUTES = 3
"""How many routes are checked, where they change during the check."""
ROUNDS = 3
"""How often an event is asked about, where its answers do not settle."""
ROWS_A_CALL = 100
VALUES_A_CALL = 20_000
"""Of a call's golden rows: well below the 6 MB that Lambda takes, and the function's own timeout."""
PATIENCE_SECONDS = 60
BUDGET_SECONDS = 12 * 60
"""For everything: below the hook's own timeout, so that CodeDeploy is told."""


class _Live:
    """The function version that has the traffic, for as long as it can be compared with."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.version = conversation.version
        self.incomparable = ""
        """Why it is not compared with, where it is not."""

    def ask(self, check: GoldenCheck | Rehearsal) -> Any:
        if self.incomparable:
            return None
        try:
            checked = self._conversation.ask(check)
        except RouteMoved:
            raise
        except QuicksilverError as error:
            # A release may be what mends it: then golden rows alone must do, and the result says so.
            self.incomparable = str(error)
            logger.warning("the live function version is not compared with: %s", error)
            return None
        return checked.golden if isinstance(check, GoldenCheck) else checked.rehearsal


class BeforeTraffic:
    """Checks deployments of one stage's score functions.

    ``functions`` are their names by endpoint, ``events`` saved events of API Gateway by name; those that are ``changed``
    by the release, as its author says, are not compared.
    """

    def __init__(
        self,
        versions: FunctionVersions,
        *,
        functions: Mapping[str, str],
        alias: str,
        registry: RegistryStore,
        artifacts: ArtifactStore,
        signer: Signer,
        events: Mapping[str, Mapping[str, Any]],
        changed: Collection[str] = (),
        clock: Clock,
        pause: Callable[[float], None],
    ) -> None:
        self._versions = versions
        self._endpoints = {function: endpoint for endpoint, function in functions.items()}
        self._alias = alias
        self._registry = registry
        self._artifacts = artifacts
        self._permits = {True: approved(registry, signer), False: registered(registry)}
        self._events = events
        self._changed = changed
        self._clock = clock
        self._pause = pause

    def check(self, deployment: Deployment) -> list[str]:
        """Returns what was compared, in sentences. Raises ``ReleaseRefused`` for the first difference, and whatever error
        kept it from comparing."""
        endpoint = self.endpoint(deployment)
        give_up = Deadline.after_ms(self._clock, BUDGET_SECONDS * 1_000)
        new = self._conversation(deployment.function, deployment.target)
        for _ in range(ROUTES):
            route = self._registry.current_route(endpoint)
            number = route.number if route else 0
            live = _Live(self._conversation(deployment.function, deployment.current))
            try:
                said = self._checked(route, new, live, endpoint, give_up)
            except RouteMoved:
                said = None
            current = self._registry.current_route(endpoint)
            if said is not None and (current.number if current else 0) == number:
                return said
            logger.warning("the route of %s has changed during the check: it is checked anew", endpoint)
        raise ReleaseRefused(f"The route of {endpoint} changed {ROUTES} times during the check.")

    def endpoint(self, deployment: Deployment) -> str:
        """The endpoint whose code is released. Raises ``ReleaseRefused`` for what is none of this stage's releases."""
        endpoint = self._endpoints.get(deployment.function)
        if endpoint is None or deployment.alias != self._alias:
            raise ReleaseRefused(
                f"{deployment.function}:{deployment.alias} is not the alias {self._alias} of a score function here."
            )
        return endpoint

    def _conversation(self, function: str, version: str) -> Conversation:
        return Conversation(
            self._versions,
            function,
            version,
            clock=self._clock,
            pause=self._pause,
            patience_seconds=PATIENCE_SECONDS,
        )

    def _checked(
        self, route: Route | None, new: Conversation, live: _Live, endpoint: str, give_up: Deadline
    ) -> list[str]:
        new.ask(Presence(route=route.number if route else 0))
        if route is None:
            return [f"{endpoint} has no route yet, so function version {new.version} was only started."]
        said = []
        for arm in route.arms:
            package = self._package(arm)
            said.append(self._golden(route, arm, package, new, live, give_up))
            if arm.role is not Role.SHADOW:
                said += self._rehearsed(route, arm, new, live, give_up)
        if live.incomparable:
            said.append(f"Nothing was compared with function version {live.version}: {live.incomparable}")
        return said

    def _package(self, arm: Arm) -> Package:
        """The arm's golden rows, whose bytes are verified, of a model version that may have this role."""
        try:
            self._permits[arm.role is not Role.SHADOW](arm)
        except ModelNotLoadable as error:
            raise ReleaseRefused(str(error)) from None
        return open_package(
            lambda name: self._artifacts.get(arm.package_sha256, name), arm.package_sha256, only=[GOLDEN]
        )

    def _golden(
        self, route: Route, arm: Arm, package: Package, new: Conversation, live: _Live, give_up: Deadline
    ) -> str:
        names, alike = package.contract.names, 0
        for rows in _chunks(package.golden_rows, len(names)):
            _in_time(give_up)
            vectors = tuple(packed(row.vector) for _, row in rows)
            check = GoldenCheck(route=route.number, arm=arm, vectors=vectors)
            answer = new.ask(check).golden
            if answer is None:
                raise ReleaseRefused(f"Function version {new.version} gives no golden row of {arm.model}.")
            given = judge_golden(arm.model, names, rows, answer)
            if theirs := live.ask(check):
                places = [place for place, _ in rows]
                alike += judge_alike(arm.model, names, places, given, theirs, live_version=live.version)
        return (
            f"{arm.model} ({arm.role.value}): {len(package.golden_rows)} golden rows are given bit for bit, "
            f"{alike} of them compared with function version {live.version}."
        )

    def _rehearsed(
        self, route: Route, arm: Arm, new: Conversation, live: _Live, give_up: Deadline
    ) -> Iterator[str]:
        path = f"/v1/{route.endpoint}/score"
        events = {name: event for name, event in self._events.items() if event.get("path") == path}
        if not events:
            yield f"{arm.model}: there is no saved event for {route.endpoint}."
            return
        if changed := sorted(events.keys() & set(self._changed)):
            yield f"{arm.model}: not compared, since this release changes their answers: {', '.join(changed)}."
        compared = {name: event for name, event in events.items() if name not in changed}
        for name, event in compared.items():
            _in_time(give_up)
            self._rehearse(name, Rehearsal(route=route.number, arm=arm, event=dict(event)), new, live)
            if live.incomparable:
                return
        yield f"{arm.model}: {len(compared)} saved events are answered as by function version {live.version}."

    def _rehearse(self, name: str, check: Rehearsal, new: Conversation, live: _Live) -> None:
        where = f"{check.arm.model}, saved event {name}"
        for _ in range(ROUNDS):
            before: RehearsalAnswer | None = live.ask(check)
            ours = new.ask(check).rehearsal
            if ours is None:
                raise ReleaseRefused(f"{where}: function version {new.version} gives no answer.")
            if before is None:
                return
            parts = difference(ours, before)
            if parts is None:
                return
            after: RehearsalAnswer | None = live.ask(check)
            settled = not (ours.unsettled or before.unsettled)
            if settled and after is not None and difference(after, before) is None:
                raise ReleaseRefused(
                    f"{where}: {parts}, as function version {live.version} answers before and after."
                )
            self._pause(1.0)
        raise ReleaseRefused(
            f"{where}: no {ROUNDS} rounds gave two answers that can be compared; save an event whose features rest."
        )


def _chunks(rows: Sequence[GoldenRow], features: int) -> Iterator[list[tuple[int, GoldenRow]]]:
    """Golden rows with their numbers, as many as go into a call."""
    size = max(1, min(ROWS_A_CALL, VALUES_A_CALL // max(1, features)))
    numbered = list(enumerate(rows, 1))
    return (numbered[start : start + size] for start in range(0, len(numbered), size))


def _in_time(give_up: Deadline) -> None:
    if give_up.remaining_seconds() <= 0:
        raise ReleaseRefused(f"The checks are not done within {BUDGET_SECONDS // 60} minutes.")
