"""Prediction records as the score function would have put them on the stream."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from quicksilver.fallback import DegradedModel, ModelCause, ModelPolicy
from quicksilver.ids import uuid7
from quicksilver.instants import utc_iso
from quicksilver.ports import LogEntry
from quicksilver.prediction import PredictionRecord, ServedArm, Status, Timings
from quicksilver.routing import Role

CHAMPION, CANARY = "card-fraud@1", "card-fraud@2"
NOW_MS = 1_760_000_000_000
"""On a minute's 20th second."""

NOT_LOADED = DegradedModel(model=CANARY, cause=ModelCause.NOT_LOADED, policy=ModelPolicy.LAST_GOOD)


def prediction_record(number: int = 0, **changes: Any) -> PredictionRecord:
    """A record of its own for each number, with what it says changed by name.

    ``role``, ``assigned`` and ``holdout`` are the arm's, ``total_us`` and ``time_ms`` what they are called.
    """
    time_ms = changes.pop("time_ms", NOW_MS)
    random = blake2b(str(number).encode(), digest_size=10).digest()
    arm = ServedArm(
        model=changes.pop("assigned", CHAMPION),
        role=changes.pop("role", Role.CHAMPION),
        share_bp=10_000,
        holdout=changes.pop("holdout", False),
    )
    total_us = changes.pop("total_us", 900)
    content: dict[str, Any] = {
        "prediction_id": uuid7(time_ms, random),
        "endpoint": "card-fraud",
        "entity_id": f"card_{number}",
        "status": Status.SCORED,
        "score": 0.25,
        "raw_score": -1.1,
        "reasons": (),
        "explained_by": None,
        "model": arm.model,
        "package_sha256": "a" * 64,
        "fingerprint": "b" * 64,
        "arm": arm,
        "route": 1,
        "feature_ages_ms": {},
        "degraded": (),
        "timings": Timings(
            validate_us=0,
            route_us=0,
            features_us=0,
            vector_us=0,
            score_us=0,
            reasons_us=0,
            total_us=total_us,
        ),
        "stage": "test",
        "time": utc_iso(time_ms),
        "request_id": "r",
        "function_version": "1",
        "vector": (),
        "contributions": None,
        "expected_value": None,
        "keys": {},
    }
    return PredictionRecord(**{**content, **changes})


def entry(number: int = 0, **changes: Any) -> LogEntry:
    return prediction_record(number, **changes).to_entry()
