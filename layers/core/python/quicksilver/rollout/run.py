"""One look at every endpoint of a stage: read its rollup, judge its rollout, ask the registry to do what follows.

A run keeps nothing. What it reads is in the rollup and the registry, and what it changes is one route by one call that
names the route it judged: killed at any point, it has changed all of that or nothing, and the next run begins anew.
Two runs at once judge the same, and one of them finds the route moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quicksilver.announcements import Announcements
from quicksilver.errors import NotAllowed, NotFound
from quicksilver.instants import epoch_ms
from quicksilver.metrics import Metric
from quicksilver.ports import Clock, Metrics, RegistryStore, RolloutDecisions, RollupStore
from quicksilver.rollout.look import Look, Verdict, look
from quicksilver.rollout_registry import NEWS_PAGE, is_news
from quicksilver.routing import Route
from quicksilver.scheduled import failed

HISTORY_MS = 3_600_000
"""How far back from a rollout's start the rollup is read: what the champion did then is what a canary is measured by."""


@dataclass(frozen=True, slots=True)
class RolloutRun:
    """What looks at the rollouts of a stage. ``registry`` is only read; ``decisions`` is the one way to change it."""

    endpoints: Sequence[str]
    registry: RegistryStore
    rollup: RollupStore
    decisions: RolloutDecisions
    announcements: Announcements
    clock: Clock
    metrics: Metrics

    def run(self) -> dict[str, str]:
        """Look at each endpoint, then announce what the histories say; returns what came of each look, in words.

        Whatever fails for an endpoint is counted and logged, stands in the way of no other, and is tried again by the
        next run: nothing is raised.
        """
        said = {endpoint: self._judge(endpoint) for endpoint in self.endpoints}
        for endpoint in self.endpoints:
            self._announce(endpoint)
        return said

    def _judge(self, endpoint: str) -> str:
        try:
            said = self._look(endpoint)
        except Exception as error:
            return failed(Metric.ROLLOUT_LOOK_FAILED, endpoint, error, self.metrics)
        self.metrics.count(Metric.ROLLOUT_LOOKS)
        return said

    def _announce(self, endpoint: str) -> None:
        try:
            self.announcements.catch_up(endpoint)
        except Exception as error:
            failed(Metric.ANNOUNCEMENTS_FAILED, endpoint, error, self.metrics)

    def _look(self, endpoint: str) -> str:
        route = self.registry.current_route(endpoint)
        if route is None or route.rollout is None:
            return "no rollout"
        seen = look_at(route, self.rollup, self.clock)
        if seen.verdict is Verdict.HOLD and not self._is_news(seen, endpoint):
            return f"{seen.verdict}: {seen.reason}"
        try:
            self.decisions.decide_rollout(endpoint, expected=route.number, look=seen)
        except (NotAllowed, NotFound):
            current = self.registry.current_route(endpoint)
            if current is None or current.number == route.number:
                raise
            return f"route {route.number} is not current any more"
        return f"{seen.verdict}: {seen.reason}"

    def _is_news(self, seen: Look, endpoint: str) -> bool:
        # The registry decides on this anew; asked here, a rollout that bakes for hours calls it a few times only.
        head = self.registry.head(endpoint)
        entries = self.registry.history(endpoint, after=max(0, head.history - NEWS_PAGE), limit=NEWS_PAGE)
        return is_news(seen, entries)


def look_at(route: Route, rollup: RollupStore, clock: Clock) -> Look:
    """The look at a route's rollout now. Raises ``NotFound`` where it has none, and ``Unavailable``."""
    rollout = route.rollout
    if rollout is None:
        raise NotFound(f"No rollout is running on {route.endpoint}.")
    now_ms = clock.now_ms()
    since_ms = epoch_ms(rollout.started_at) - HISTORY_MS
    periods = rollup.periods(route.endpoint, since_ms=since_ms, until_ms=now_ms)
    return look(rollout, route.champion.model, periods, now_ms)
