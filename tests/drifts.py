"""Windows of an endpoint whose model has four features, and which of them have moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Source
from quicksilver.drift.counts import ArmCounts, SegmentCounts, WindowCounts
from quicksilver.drift.result import Aspect, Baseline, Distances, Finding, WindowResult
from quicksilver.monitoring import Window
from quicksilver.profile import CategoryHistogram, Histogram, NumericHistogram, ReferenceProfile
from quicksilver.routing import Role

ENDPOINT, MODEL, CHALLENGER = "card-fraud", "card-fraud@2", "card-fraud@3"
DAY_MS = 86_400_000
FIRST_MS = 20_700 * DAY_MS  # 2026-09-04
SHA256 = "ab" * 32


@dataclass(frozen=True)
class Reference:
    """What the page knows of a model version."""

    contract: Contract
    profile: ReferenceProfile


def feature(name: str, kind: FeatureType, categories: tuple[str, ...] = ()) -> Feature:
    return Feature(
        name=name,
        type=kind,
        source=Source.REQUEST,
        missing=MissingPolicy.MISSING,
        categories=categories,
        reason_code=name.upper(),
        reason=f"The {name} carries risk",
    )


CONTRACT = Contract(
    endpoint=ENDPOINT,
    features=(
        feature("income", FeatureType.NUMBER),
        feature("visits", FeatureType.INTEGER),
        feature("region", FeatureType.CATEGORY, ("north", "south")),
        feature("is_new", FeatureType.BOOLEAN),
    ),
)
PROFILE = ReferenceProfile(
    rows=1_000,
    features={
        "income": NumericHistogram(
            edges=(10.5, 1_000.0, 2_500.0, 9_000.5), counts=(0, 300, 400, 250, 0), missing=50
        ),
        "visits": NumericHistogram(
            edges=(0.0, 1.0, 2.0, 7.0, 12.0000001), counts=(0, 500, 300, 150, 50, 0), missing=0
        ),
        "region": CategoryHistogram(counts=(600, 400), unseen=0, missing=0),
        "is_new": CategoryHistogram(counts=(900, 100), unseen=0, missing=0),
    },
    score=NumericHistogram(edges=(0.01, 0.1, 0.5, 0.99), counts=(0, 600, 300, 100, 0), missing=0),
)
REFERENCES: Mapping[str, Reference] = {MODEL: Reference(CONTRACT, PROFILE)}


def drifted(histogram: Histogram) -> Histogram:
    """The same rows, some of them where there were none or few: missing, unseen, or above."""
    if isinstance(histogram, CategoryHistogram):
        first, *others = histogram.counts
        return histogram.model_copy(update={"counts": (first - 200, *others), "unseen": 150, "missing": 50})
    counts = list(histogram.counts)
    return histogram.model_copy(
        update={"counts": (counts[0], counts[1] - 200, *counts[2:-1], 150), "missing": histogram.missing + 50}
    )


def arm(moved: Sequence[str] = (), *, model: str = MODEL, **changes: Any) -> ArmCounts:
    content: dict[str, Any] = {
        "model": model,
        "package_sha256": SHA256,
        "fingerprint": CONTRACT.fingerprint,
        "roles": (Role.CHAMPION if model == MODEL else Role.CHALLENGER,),
        "rows": 1_000,
        "effective_rows": 800.0,
        "score": PROFILE.score,
        "approved": 900,
        "features": {
            name: drifted(histogram) if name in moved else histogram
            for name, histogram in PROFILE.features.items()
        },
        "importance": {"income": 0.5, "visits": 0.2, "region": 0.9, "is_new": 0.1},
    }
    return ArmCounts(**{**content, **changes})


def finding(name: str | None, *, alarm: bool = False, **changes: Any) -> Finding:
    aspect = changes.get("aspect", Aspect.DISTRIBUTION)
    effect = 0.11 if alarm else 0.001
    content: dict[str, Any] = {
        "model": MODEL,
        "feature": name,
        "aspect": aspect,
        "baseline": Baseline.REFERENCE,
        "baseline_rows": 1_000,
        "rows": 1_000,
        "effect": effect,
        "limit": 0.02,
        "p_value": 1e-9 if alarm else 0.4,
        "significant": alarm,
        "alarm": alarm,
        "distances": Distances(
            psi=effect, jensen_shannon=0.02, kolmogorov_smirnov=0.1, wasserstein=0.2, chi_square=30.0
        ),
        "importance": {"income": 0.5, "visits": 0.2, "region": 0.9, "is_new": 0.1}.get(name or ""),
        "sentence": f"{name or 'scores'}: the {aspect.replace('_', ' ')} moved by {effect:g} (limit 0.02).",
    }
    return Finding(**{**content, **changes})


def window(day: int, moved: Sequence[str] = (), **changes: Any) -> WindowResult:
    """The window of a day, with an alarm for each feature that has moved. ``changes`` are of its counts or of itself."""
    findings = [
        *(finding(name, alarm=name in moved) for name in PROFILE.features),
        *(finding(name, aspect=Aspect.UNSEEN) for name in ("region",)),
        finding(None),
    ]
    start_ms = FIRST_MS + day * DAY_MS
    counts: dict[str, Any] = {
        "endpoint": ENDPOINT,
        "window": Window(start_ms=start_ms, end_ms=start_ms + DAY_MS),
        "archived": 1_000,
        "fallbacks": 0,
        "rolled_up": 1_000,
        "arms": (arm(moved),),
        "segments": (
            SegmentCounts(
                model=MODEL,
                feature="region",
                value="north",
                rows=600,
                effective_rows=500.0,
                score=PROFILE.score,
                approved=540,
            ),
        ),
    }
    content: dict[str, Any] = {
        "endpoint": ENDPOINT,
        "policy_version": 1,
        "revision": 1,
        "judged_at": "2026-09-20T00:15:00.000Z",
        "findings": tuple(sorted(findings, key=lambda each: (not each.alarm, -each.rank))),
    }
    for name, value in changes.items():
        (content if name in WindowResult.model_fields else counts)[name] = value
    return WindowResult(counts=WindowCounts(**counts), **content)
