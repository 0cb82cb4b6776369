"""A scorer on in-memory stores, ready to score, with every part within a test's reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.delivery import PredictionLog
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.memory import (
    ManualClock,
    MemoryArtifactStore,
    MemoryContractStore,
    MemoryFeatureStore,
    MemoryMetrics,
    MemoryPredictionStream,
    MemoryRegistryStore,
    MemoryScores,
    MemorySigner,
    MemoryUndeliveredStore,
)
from quicksilver.ports import Deadline, FeatureKey, FeatureRow
from quicksilver.registry import Registry, Stores
from quicksilver.routing import FULL_SHARE_BP, Arm, Role
from quicksilver.scoring import Scorer
from quicksilver.serving import LoadedRoute, Serving
from quicksilver.settings import ScoreSettings
from tests.approvals import bring_to_approved, make_champion, policy

if TYPE_CHECKING:
    from quicksilver.package import Package


@dataclass
class Bench:
    """One endpoint's whole function, in memory."""

    clock: ManualClock = field(default_factory=ManualClock)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    scores: MemoryScores = field(default_factory=MemoryScores)
    features: MemoryFeatureStore = field(default_factory=MemoryFeatureStore)
    artifacts: MemoryArtifactStore = field(default_factory=MemoryArtifactStore)
    contracts: MemoryContractStore = field(default_factory=MemoryContractStore)
    registry_store: MemoryRegistryStore = field(default_factory=MemoryRegistryStore)
    signer: MemorySigner = field(default_factory=MemorySigner)
    stream: MemoryPredictionStream = field(default_factory=MemoryPredictionStream)
    undelivered: MemoryUndeliveredStore = field(default_factory=MemoryUndeliveredStore)

    def __post_init__(self) -> None:
        self.registry = Registry(
            Stores(self.registry_store, self.artifacts, self.artifacts, self.contracts),
            signer=self.signer,
            policies={endpoint: policy(endpoint) for endpoint in ("card-fraud", "credit-line")},
            load=LightGBMEvaluator,
            clock=self.clock,
            pause=lambda _: None,
        )
        self.log = PredictionLog("card-fraud", self.stream, self.undelivered, self.metrics)
        self.serving = self.new_environment()
        self.scorer = self.scorer_on(self.serving)

    def new_environment(self) -> Serving:
        return Serving(
            "card-fraud",
            registry=self.registry_store,
            artifacts=self.artifacts,
            load=LightGBMEvaluator,
            signer=self.signer,
            clock=self.clock,
            metrics=self.metrics,
            refresh_seconds=ScoreSettings.model_fields["route_refresh_seconds"].default,
            max_age_seconds=ScoreSettings.model_fields["route_max_age_seconds"].default,
        )

    @property
    def deadline(self) -> Deadline:
        return Deadline.after_ms(self.clock, 500)

    def loaded_route(self) -> LoadedRoute:
        return self.serving.loaded_route(self.deadline)

    def scorer_on(self, serving: Serving) -> Scorer:
        return Scorer(
            stage="test",
            endpoint="card-fraud",
            serving=serving,
            features=self.features,
            log=self.log,
            metrics=self.metrics,
            scores=self.scores,
            clock=self.clock,
            random_bytes=lambda n: bytes(range(n)),
            deadline_ms=500,
            batch_deadline_ms=500,
        )

    def put_champion(self, package: Package) -> None:
        self.artifacts.put(package.sha256, package.files)
        make_champion(self.registry, package)

    def put_arm(
        self,
        package: Package,
        role: Role = Role.CANARY,
        share_bp: int = FULL_SHARE_BP,
        *,
        refresh: bool = True,
        **more: Any,
    ) -> str:
        """Give a package a share beside the champion, whatever the registry would say to that route; and serve it."""
        self.artifacts.put(package.sha256, package.files)
        name = bring_to_approved(self.registry, package)
        route = self.registry.current_route("card-fraud")
        arms = (
            route.champion.model_copy(update={"share_bp": FULL_SHARE_BP - share_bp}),
            Arm(model=name, package_sha256=package.sha256, role=role, share_bp=share_bp),
        )
        content = {**dict(route), "number": route.number + 1, "arms": arms, **more}
        self.registry_store._routes["card-fraud"].append(type(route).model_validate(content))
        if refresh:
            self.clock.advance_ms(10_000)
            self.serving.refresh_if_due()
            self.put_rows()
        return name

    def put_rows(self, *, age_ms: int = 0, **card: Any) -> None:
        as_of_ms = self.clock.now_ms() - age_ms
        card = {"txn_count_1h": 3, "amount_mean_7d": 55.5, **card}
        self.features.write(
            [
                FeatureRow(FeatureKey("card", "card_1"), as_of_ms, card),
                FeatureRow(FeatureKey("merchant", "m_1"), as_of_ms, {"merchant_risk": 0.07}),
            ]
        )


@pytest.fixture
def bench(package: Package) -> Bench:
    bench = Bench()
    bench.put_champion(package)
    bench.put_rows()
    return bench


@pytest.fixture
def request_body() -> dict[str, Any]:
    return {
        "entity_id": "card_1",
        "keys": {"merchant_id": "m_1"},
        "features": {"amount": 812.5, "channel": "online", "cross_border": True},
    }
