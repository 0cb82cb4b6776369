"""Documents of the monitoring as runs leave them, with as little in them as a trigger reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quicksilver.drift.counts import WindowCounts
from quicksilver.drift.result import Aspect, Baseline, Finding, WindowResult
from quicksilver.drift_policy import DriftPolicy
from quicksilver.instants import utc_iso
from quicksilver.model_version import ModelVersion
from quicksilver.monitoring import Kind, Window
from quicksilver.performance.result import Metrics, PerformanceResult
from quicksilver.routing import FULL_SHARE_BP, Arm, Role, Route

if TYPE_CHECKING:
    from quicksilver.monitoring import MonitoringStore

ENDPOINT = "card-fraud"
CHAMPION = "card-fraud@1"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def drift_policy(**retraining: object) -> DriftPolicy:
    return DriftPolicy.model_validate({"endpoint": ENDPOINT, "version": 1, "retraining": retraining})


def finding(model: str = CHAMPION, *, feature: str = "amount", alarm: bool = True) -> Finding:
    return Finding(
        model=model, feature=feature, aspect=Aspect.DISTRIBUTION, baseline=Baseline.REFERENCE, baseline_rows=5_000,
        rows=1_000, effect=0.11, limit=0.02, p_value=0.00001, significant=True, alarm=alarm,
        sentence=f"{feature}: the distribution moved, PSI 0.11 (limit 0.02), p < 0.0001",
    )  # fmt: skip


def window(start_ms: int, length_ms: int = DAY_MS) -> Window:
    return Window(start_ms=start_ms, end_ms=start_ms + length_ms)


def drift_result(
    of: Window, *findings: Finding, archived: int = 1_000, rolled_up: int | None = 1_000, revision: int = 1
) -> WindowResult:
    return WindowResult(
        endpoint=ENDPOINT,
        policy_version=1,
        revision=revision,
        judged_at=utc_iso(of.end_ms + 15 * 60_000),
        counts=WindowCounts(
            endpoint=ENDPOINT, window=of, archived=archived, fallbacks=0, rolled_up=rolled_up, arms=()
        ),
        findings=findings,
    )


def put_drift(store: MonitoringStore, result: WindowResult) -> str:
    name = result.counts.window.name
    store.put(Kind.DRIFT, ENDPOINT, name, result.model_dump_json().encode())
    return name


def performance_result(
    of: Window, *, model: str = CHAMPION, ripe: bool = True, judged: bool = True, degraded: bool = True
) -> PerformanceResult:
    metrics = Metrics(auc=0.71, ks=0.3, brier=0.1, calibration=0.02)
    return PerformanceResult(
        endpoint=ENDPOINT, window=of, model=model, policy_version=1, judged_at=utc_iso(of.end_ms), predictions=1_000,
        labelled=900, bad=90, labelled_of_approved=0.9, labelled_of_declined=0.9, ripeness=0.9, ripe=ripe,
        estimated=metrics, realised=metrics, auc_interval=(0.69, 0.73), reference_auc=0.8, judged=ripe and judged, degraded=degraded,
        sentence=f"{model}: AUC 0.71, at training 0.80",
    )  # fmt: skip


def put_performance(store: MonitoringStore, result: PerformanceResult) -> str:
    name = f"{result.window.name}-{result.model.rpartition('@')[2]}"
    store.put(Kind.PERFORMANCE, ENDPOINT, name, result.model_dump_json().encode())
    return name


class RegistryOf:
    """A registry whose champion a test names; None where there is none yet."""

    def __init__(self, champion: str | None = CHAMPION) -> None:
        self.champion = champion

    def current_route(self, endpoint: str) -> Route | None:
        if self.champion is None:
            return None
        arm = Arm(model=self.champion, package_sha256="a" * 64, role=Role.CHAMPION, share_bp=FULL_SHARE_BP)
        return Route(endpoint=endpoint, number=1, salt="s", arms=(arm,), author="ada", created_at=utc_iso(0))

    def model_version(self, endpoint: str, number: int) -> ModelVersion:
        return ModelVersion(
            endpoint=endpoint,
            number=number,
            package_sha256="a" * 64,
            fingerprint=f"{number:064x}",
            author="ada",
            registered_at=utc_iso(0),
        )
