"""What an execution environment serves now: a route, with every model version it needs loaded.

A new route replaces the old one only when all of its arms are loaded, so a change of route is whole
or does not happen here, and the last good route goes on answering meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quicksilver.contract import Contract
from quicksilver.errors import InvalidInput, ModelNotLoadable, NoModel, QuicksilverError, whereabouts
from quicksilver.evaluator import Evaluator
from quicksilver.metrics import Metric
from quicksilver.package import open_package
from quicksilver.ports import ArtifactStore, Clock, Metrics, RegistryStore, Signer
from quicksilver.routing import Arm, Role, Route

logger = logging.getLogger(__name__)

_RETRY_MS = 1_000
"""How long an environment that has nothing to serve waits before it asks the registry again."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version ready to score."""

    name: str
    package_sha256: str
    contract: Contract
    evaluator: Evaluator


@dataclass(frozen=True, slots=True)
class LoadedRoute:
    """A route whose answering arms are all loaded, by package SHA-256."""

    route: Route
    models: Mapping[str, LoadedModel]

    def assign(self, entity_id: str) -> tuple[Arm, LoadedModel]:
        arm = self.route.assign(entity_id)
        return arm, self.models[arm.package_sha256]


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
        self._artifacts = artifacts
        self._load = load
        self._signer = signer
        self._clock = clock
        self._metrics = metrics
        self._refresh_ms = refresh_seconds * 1_000
        self._max_age_ms = max_age_seconds * 1_000
        self._loaded: LoadedRoute | None = None
        self._due_ms = 0
        self._confirmed_ms = 0

    def loaded_route(self) -> LoadedRoute:
        """The route served now. Raises ``NoModel`` where nothing could be loaded yet.

        A request waits for the registry in two cases: there is nothing to serve, so no answer to hurry
        for; or the environment has slept through changes (Lambda froze it, or no request came), and must
        not answer by a route that may have been rolled back hours ago.
        """
        if self._loaded is None or self._clock.now_ms() - self._confirmed_ms >= self._max_age_ms:
            self.refresh_if_due()
        if self._loaded is None:
            raise NoModel(f"No model version can answer for {self._endpoint} now.")
        return self._loaded

    def refresh_if_due(self) -> None:
        """Confirm the route, or take up a new one, when its time has come. Never raises: the last good one stays."""
        now = self._clock.now_ms()
        if now < self._due_ms:
            return
        try:
            self._refresh()
            self._confirmed_ms = now
        except Exception as error:
            self._metrics.count(Metric.ROUTE_REFRESH_FAILED)
            if isinstance(error, QuicksilverError):
                fields = [str(field) for field in error.fields] if isinstance(error, InvalidInput) else []
                logger.error(
                    "route refresh failed: %s", error, extra={"endpoint": self._endpoint, "fields": fields}
                )
            else:
                logger.error("route refresh failed", extra={"endpoint": self._endpoint, **whereabouts(error)})
        self._due_ms = now + (self._refresh_ms if self._loaded else min(self._refresh_ms, _RETRY_MS))

    def _refresh(self) -> None:
        route = self._registry.current_route(self._endpoint)
        if route is None:
            raise NoModel(f"The endpoint {self._endpoint} has no route yet.")
        if self._loaded and route.number == self._loaded.route.number:
            return
        known = self._loaded.models if self._loaded else {}
        models = {
            arm.package_sha256: known.get(arm.package_sha256) or self._load_model(arm)
            for arm in route.arms
            if arm.role is not Role.SHADOW
        }
        self._loaded = LoadedRoute(route, models)
        logger.info("route loaded", extra={"endpoint": self._endpoint, "route": route.number})

    def _load_model(self, arm: Arm) -> LoadedModel:
        def read(name: str) -> bytes:
            return self._artifacts.get(arm.package_sha256, name)

        try:
            self._check_approval(arm)
            package = open_package(read, arm.package_sha256, scoring_only=True)
            evaluator = self._load(package.model_text)
        except QuicksilverError as error:
            raise ModelNotLoadable(f"{arm.model} cannot be loaded: {error}") from error
        if evaluator.feature_names != package.contract.names:
            raise ModelNotLoadable(f"{arm.model} cannot be loaded: its contract does not fit its model.")
        return LoadedModel(arm.model, arm.package_sha256, package.contract, evaluator)

    def _check_approval(self, arm: Arm) -> None:
        """A route names an approved model version, and the approval is signed for these very bytes."""
        number = int(arm.model.rpartition("@")[2])
        model = self._registry.model_version(self._endpoint, number)
        approval = model.approval if model else None
        if approval is None or (approval.number, approval.package_sha256) != (number, arm.package_sha256):
            raise ModelNotLoadable(f"{arm.model} is not approved.")
        if not self._signer.verify(approval.digest, approval.signature_bytes):
            raise ModelNotLoadable(f"the signature of {arm.model}'s approval does not verify.")
