"""Looks at rollouts, as tests of what is done about them need them."""

from __future__ import annotations

from typing import Any

from quicksilver.rollout import GuardReading, Look, Verdict

ROBOT = "arn:aws:sts::000000000000:assumed-role/quicksilver-test-rollout/run"


def a_reading(name: str = "error_rate", **facts: Any) -> GuardReading:
    usual: dict[str, Any] = {
        "champion": 0.001,
        "canary": 0.001,
        "difference": 0.0,
        "limit": 0.01,
        "evidence": 0.1,
        "threshold": 500.0,
        "outcome": "ok",
        "sentence": "The error rate is within its limit.",
    }
    return GuardReading(name=name, **{**usual, **facts})


def a_look(verdict: Verdict, **facts: Any) -> Look:
    usual: dict[str, Any] = {
        "reason": f"It is time to {verdict.value}.",
        "guards": (a_reading(),),
        "canary_requests": 1_000,
        "champion_requests": 99_000,
        "step_requests": 1_000,
        "baked_seconds": 600,
    }
    return Look(verdict=verdict, **{**usual, **facts})
