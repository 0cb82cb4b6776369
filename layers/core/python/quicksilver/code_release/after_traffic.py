"""After all traffic: the alias is where the deployment says, and the function version there gives its golden rows still.

Only then do the others give up their provisioned concurrency: until here a release could go back to them. They stay, cold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quicksilver.code_release.check import Presence
from quicksilver.code_release.conversation import ROUTES, Conversation, RouteMoved
from quicksilver.code_release.deployment import Deployment, FunctionVersions, Releases
from quicksilver.code_release.golden import GoldenRows
from quicksilver.code_release.provisioned import Warmth
from quicksilver.errors import ReleaseRefused
from quicksilver.ports import Clock, Deadline, RegistryStore

SETTLED_SECONDS = 60
BUDGET_SECONDS = 12 * 60


class AfterTraffic:
    """Looks at releases of one stage's score functions when their traffic has moved."""

    def __init__(
        self,
        versions: FunctionVersions,
        *,
        releases: Releases,
        registry: RegistryStore,
        golden: GoldenRows,
        warmth: Warmth,
        clock: Clock,
        pause: Callable[[float], None],
    ) -> None:
        self._versions = versions
        self._releases = releases
        self._registry = registry
        self._golden = golden
        self._warmth = warmth
        self._clock = clock
        self._pause = pause

    def check(self, deployment: Deployment) -> list[str]:
        """Returns what was found and released, in sentences. Raises ``ReleaseRefused`` for an alias or an answer that is not
        as it must be."""
        endpoint = self._releases.endpoint(deployment)
        self._all_on_target(deployment)
        said = self._golden_rows(endpoint, deployment)
        return [*said, *self._warmth.release_others(deployment.function, deployment.target)]

    def _all_on_target(self, deployment: Deployment) -> None:
        give_up = Deadline.after_ms(self._clock, SETTLED_SECONDS * 1_000)
        while (shares := self._versions.shares(deployment.function, deployment.alias)) != {
            deployment.target: 1.0
        }:
            if give_up.remaining_seconds() <= 0:
                raise ReleaseRefused(
                    f"{deployment.alias} is at {_in_words(shares)}, and not at function version "
                    f"{deployment.target} alone."
                )
            self._pause(1.0)

    def _golden_rows(self, endpoint: str, deployment: Deployment) -> list[str]:
        give_up = Deadline.after_ms(self._clock, BUDGET_SECONDS * 1_000)
        now = Conversation(
            self._versions, deployment.function, deployment.target, clock=self._clock, pause=self._pause
        )
        for _ in range(ROUTES):
            route = self._registry.current_route(endpoint)
            try:
                now.ask(Presence(route=route.number if route else 0))
                if route is None:
                    return [f"{endpoint} has no route yet."]
                return [self._golden.put_to(now, route, arm, give_up) for arm in route.arms]
            except RouteMoved:
                continue
        raise ReleaseRefused(f"The route of {endpoint} changed {ROUTES} times during the check.")


def _in_words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"function version {version} with {share:.0%}" for version, share in shares.items())
