"""Windows of counts and reference profiles as tests of drift want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quicksilver.drift.counts import ArmCounts, SegmentCounts, WindowCounts
from quicksilver.drift_policy import DriftPolicy
from quicksilver.monitoring import Window
from quicksilver.profile import CategoryHistogram, Histogram, NumericHistogram, ReferenceProfile
from quicksilver.routing import Role

MODEL = "card-fraud@12"
DAY_MS = 86_400_000
START_MS = 1_767_571_200_000  # Monday, 5 January 2026
SHA = "0" * 64
INNER = tuple(float(edge) for edge in range(11))


def policy(**changes: Any) -> DriftPolicy:
    return DriftPolicy.model_validate({"endpoint": "card-fraud", "version": 1, **changes})


def numeric(counts: Sequence[int], missing: int = 0, edges: Sequence[float] = INNER) -> NumericHistogram:
    """Of the bins within the range; what is outside it, none. With 12 counts, of the open bins too."""
    whole = counts if len(counts) == len(edges) + 1 else (0, *counts, 0)
    return NumericHistogram(edges=tuple(edges), counts=tuple(int(each) for each in whole), missing=missing)


def category(counts: Sequence[int], unseen: int = 0, missing: int = 0) -> CategoryHistogram:
    return CategoryHistogram(counts=tuple(int(each) for each in counts), unseen=unseen, missing=missing)


def profile(features: Mapping[str, Histogram], score: NumericHistogram | None = None) -> ReferenceProfile:
    rows = next(iter(features.values())).rows
    return ReferenceProfile(rows=rows, features=dict(features), score=score or even(rows))


def even(rows: int) -> NumericHistogram:
    """Rows spread over the ten inner bins as evenly as can be."""
    return numeric([rows // 10 + (place < rows % 10) for place in range(10)])


def arm(
    features: Mapping[str, Histogram], score: NumericHistogram | None = None, **changes: Any
) -> ArmCounts:
    rows = next(iter(features.values())).rows if features else (score.rows if score else 0)
    content: dict[str, Any] = {
        "model": MODEL, "package_sha256": SHA, "fingerprint": SHA, "roles": (Role.CHAMPION,),
        "rows": rows, "effective_rows": float(rows), "approved": rows * 9 // 10,
        "features": dict(features), "score": score or even(rows),
    }  # fmt: skip
    return ArmCounts(**(content | changes))


def segment(value: str | None, rows: int, *, approved: int, **changes: Any) -> SegmentCounts:
    content = {
        "model": MODEL, "feature": "channel", "value": value, "rows": rows, "effective_rows": float(rows),
        "approved": approved, "score": even(rows),
    }  # fmt: skip
    return SegmentCounts(**(content | changes))


def window(
    *arms: ArmCounts, day: int = 0, segments: Sequence[SegmentCounts] = (), **changes: Any
) -> WindowCounts:
    """The counts of a day, so many days after Monday, 5 January 2026."""
    start = START_MS + day * DAY_MS
    content: dict[str, Any] = {
        "endpoint": "card-fraud", "window": Window(start_ms=start, end_ms=start + DAY_MS),
        "archived": sum(each.rows for each in arms), "fallbacks": 0, "rolled_up": None,
        "arms": arms, "segments": tuple(segments),
    }  # fmt: skip
    return WindowCounts(**(content | changes))


def drawn(random: np.random.Generator, rows: int, shares: Sequence[float]) -> list[int]:
    return [int(each) for each in random.multinomial(rows, np.array(shares) / np.sum(shares))]
