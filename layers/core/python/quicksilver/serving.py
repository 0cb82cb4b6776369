"""What an execution environment serves now: a route, with every model version it needs loaded.

A new route replaces the old one only when all of its arms are loaded, so a change of route is whole
or does not happen here, and the last good route goes on answering meanwhile: a new champion waits for a
canary of the same route that does not load, rather than be served with shares that nobody decided.

How old a route may be that answers, in seconds since the registry was asked::

    0 ········· refresh ········· max_age ············> age
    answer by it | answer by it,    | ask the registry, within the deadline, and take up what is loaded
                 | then ask and load|

So what needs no loading, such as taking a canary off, holds for every answer ``max_age`` after it was written,
in an environment that is busy or that has slept. An answer of which that is not so says so in its ``notes``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from quicksilver.errors import InvalidInput, ModelNotLoadable, NoModel, QuicksilverError, whereabouts
from quicksilver.evaluator import Evaluator
from quicksilver.fallback import DegradedModel, ModelCause, ModelPolicy
from quicksilver.metrics import Metric
from quicksilver.model_loader import LoadedModel, ModelLoader, approved, is_outage
from quicksilver.ports import ArtifactStore, Clock, Deadline, Metrics, RegistryStore, Signer
from quicksilver.routing import Arm, Role, Route

logger = logging.getLogger(__name__)

_EARLIER_ROUTES = 3
"""How far back an environment looks that starts while the current route cannot be loaded."""

_RETRY_MS = 1_000
"""How long an environment that has nothing to serve waits before it asks the registry again."""

_LONGEST_WAIT_MS = 60_000
"""How long an environment waits at most before it tries again to load a route that it could not."""


@dataclass(frozen=True, slots=True)
class LoadedRoute:
    """A route whose answering arms are all loaded, by package SHA-256.

    ``last_good`` is the champion that answered before this route's. ``notes`` are what every answer must say of how
    this route stands to the registry's.
    """

    route: Route
    models: Mapping[str, LoadedModel]
    last_good: LoadedModel | None = None
    notes: tuple[DegradedModel, ...] = ()

    @property
    def champion(self) -> LoadedModel:
        return self.models[self.route.champion.package_sha256]

    def ladder(self, assigned: Arm) -> Iterator[tuple[LoadedModel, ModelPolicy | None]]:
        """Who is asked in turn for an entity's score, each with the policy it answers by."""
        yield self.models[assigned.package_sha256], None
        if assigned.role is not Role.CHAMPION:
            yield self.champion, ModelPolicy.CHAMPION
        # A champion that stays on the route by another arm was asked as that arm.
        if self.last_good and self.last_good.package_sha256 != assigned.package_sha256:
            yield self.last_good, ModelPolicy.LAST_GOOD

    def noted(self, cause: ModelCause, model: str) -> LoadedRoute:
        """The same, with every answer saying why it is not by the registry's route."""
        note = DegradedModel(model=model, cause=cause, policy=ModelPolicy.LAST_GOOD)
        return replace(self, notes=(note,))


@dataclass(frozen=True, slots=True)
class _Unloadable:
    """The registry's route, where it could not be loaded here: when it is tried again, and how long that was waited for."""

    number: int
    wait_ms: int
    again_ms: int


class Serving:
    """Keeps one endpoint's current route loaded."""

    def __init__(
        self,
        endpoint: str,
        *,
        registry: RegistryStore,
        artifacts: ArtifactStore,
        load: Callable[[bytes], Evaluator],
        signer: Signer,
        clock: Clock,
        metrics: Metrics,
        refresh_seconds: int,
        max_age_seconds: int,
    ) -> None:
        """``refresh_seconds`` is how often the route is confirmed after an answer; ``max_age_seconds`` is how
        long it may go unconfirmed before a request has it confirmed first."""
        self._endpoint = endpoint
        self._registry = registry
        self._loader = ModelLoader(artifacts, load, permit=approved(registry, signer))
        self._clock = clock
        self._metrics = metrics
        self._refresh_ms = refresh_seconds * 1_000
        self._max_age_ms = max_age_seconds * 1_000
        self._loaded: LoadedRoute | None = None
        self._unloadable: _Unloadable | None = None
        self._due_ms = 0
        self._confirmed_ms = 0
        # A request that must confirm its route and the thread after a response may both find it due.
        self._refreshing = threading.Lock()

    def loaded_route(self, deadline: Deadline) -> LoadedRoute:
        """The route to answer by. Raises ``NoModel`` where nothing could be loaded yet.

        A request waits for the registry in two cases: there is nothing to serve, so no answer to hurry
        for; or the environment has slept through changes (Lambda froze it, or no request came), and should
        not answer by a route that may have been rolled back hours ago. Then it waits for one read within its
        deadline, and never for a model: that is loaded after the answer, which says that it is outdated.
        """
        if self._loaded is None:
            self.refresh_if_due()
        elif self._is_unconfirmed():
            self._confirm(deadline)
        loaded = self._loaded
        if loaded is None:
            raise NoModel(f"No model version can answer for {self._endpoint} now.")
        if self._is_unconfirmed() and not loaded.notes:
            return loaded.noted(ModelCause.UNCONFIRMED, loaded.champion.name)
        return loaded

    def refresh_if_due(self) -> None:
        """Confirm the route, or take up a new one, when its time has come. Never raises: the last good one stays."""
        with self._refreshing:
            if self._is_past(self._due_ms, self._refresh_ms):
                self._guarded(self._refresh)

    def restored(self) -> None:
        """The environment goes on from a snapshot of itself, however old: refresh now."""
        self._due_ms = 0
        self.refresh_if_due()

    def _is_past(self, moment_ms: int, wait_ms: int) -> bool:
        """Whether a moment has come that was set this far ahead; also if the clock was set back since."""
        return not 0 < moment_ms - self._clock.now_ms() <= wait_ms

    def _is_unconfirmed(self) -> bool:
        return self._is_past(self._confirmed_ms + self._max_age_ms, self._max_age_ms)

    def _confirm(self, deadline: Deadline) -> None:
        # A refresh under way will say what this would have found out; a request does not wait for it.
        if self._refreshing.acquire(blocking=False):
            try:
                if self._is_past(self._due_ms, self._refresh_ms):
                    self._guarded(lambda: self._read_route(deadline.remaining_seconds()))
                    if self._is_to_load():
                        self._due_ms = 0  # right after this answer
            finally:
                self._refreshing.release()

    def _guarded(self, step: Callable[[], None]) -> None:
        now = self._clock.now_ms()
        wait_ms = self._refresh_ms
        try:
            step()
        except Exception as error:
            if self._loaded is None:
                wait_ms = min(self._refresh_ms, _RETRY_MS)
            self._metrics.count(Metric.ROUTE_REFRESH_FAILED)
            if isinstance(error, QuicksilverError):
                fields = [str(field) for field in error.fields] if isinstance(error, InvalidInput) else []
                logger.error(
                    "route refresh failed: %s", error, extra={"endpoint": self._endpoint, "fields": fields}
                )
            else:
                logger.error("route refresh failed", extra={"endpoint": self._endpoint, **whereabouts(error)})
        self._due_ms = now + wait_ms

    def _is_to_load(self) -> bool:
        """Whether the registry has a route that is to be loaded here, now."""
        return self._loaded is not None and bool(self._loaded.notes) and not self._is_waiting()

    def _is_waiting(self) -> bool:
        """Whether the registry's route could not be loaded here a short while ago."""
        failed = self._unloadable
        return failed is not None and not self._is_past(failed.again_ms, failed.wait_ms)

    def _read_route(self, seconds: float) -> None:
        """Ask for the current route, and take it up if it needs no loading; if it does, say so."""
        route = self._current_route(seconds)
        loaded = self._loaded
        if loaded and route.number != loaded.route.number:
            known = self._known()
            missing = [arm.model for arm in route.answering if arm.package_sha256 not in known]
            if not missing:
                self._take_up(route)
            elif self._unloadable is None:
                self._loaded = loaded.noted(ModelCause.OUTDATED, missing[0])
            elif self._is_waiting():
                self._metrics.count(Metric.ROUTE_REFRESH_FAILED)

    def _refresh(self) -> None:
        route = self._current_route()
        if self._loaded and route.number == self._loaded.route.number:
            # What could not be loaded of a route in between is of no interest any more.
            self._loaded = replace(self._loaded, notes=())
            return
        if self._loaded and self._is_waiting():
            # Nothing is fetched anew, and the alarm goes on: this is not the registry's route.
            self._metrics.count(Metric.ROUTE_REFRESH_FAILED)
            return
        try:
            self._take_up(route)
        except ModelNotLoadable as error:
            if self._loaded is None and not is_outage(error):
                self._take_up_earlier(route)
            if self._loaded:
                self._loaded = self._loaded.noted(ModelCause.NOT_LOADED, error.model or route.champion.model)
            wait_ms = 2 * self._unloadable.wait_ms if self._unloadable else self._refresh_ms
            wait_ms = min(wait_ms, _LONGEST_WAIT_MS)
            self._unloadable = _Unloadable(route.number, wait_ms, self._clock.now_ms() + wait_ms)
            raise

    def _current_route(self, seconds: float | None = None) -> Route:
        asked_ms = self._clock.now_ms()
        route = self._registry.current_route(self._endpoint, seconds=seconds)
        if route is None:
            raise NoModel(f"The endpoint {self._endpoint} has no route yet.")
        self._confirmed_ms = asked_ms
        if self._unloadable and self._unloadable.number != route.number:
            self._unloadable = None
        return route

    def _take_up(self, route: Route) -> None:
        known, before = self._known(), self._loaded
        models = {
            arm.package_sha256: known.get(arm.package_sha256) or self._loader.model(arm)
            for arm in route.answering
        }
        last_good = None
        if before:
            replaced = before.champion.package_sha256 != route.champion.package_sha256
            last_good = before.champion if replaced else before.last_good
        self._loaded = LoadedRoute(route, models, last_good)
        logger.info("route loaded", extra={"endpoint": self._endpoint, "route": route.number})

    def _take_up_earlier(self, route: Route) -> None:
        """An environment that starts while the current route cannot be loaded answers as the others still do."""
        for number in range(route.number - 1, max(0, route.number - 1 - _EARLIER_ROUTES), -1):
            earlier = self._registry.route(self._endpoint, number)
            if earlier is None:
                continue
            try:
                self._take_up(earlier)
            except ModelNotLoadable as error:
                logger.error("route %d cannot be loaded either: %s", number, error)
                if is_outage(error):
                    return
            else:
                return

    def _known(self) -> Mapping[str, LoadedModel]:
        if self._loaded is None:
            return {}
        last_good = self._loaded.last_good
        return {**self._loaded.models, **({last_good.package_sha256: last_good} if last_good else {})}
