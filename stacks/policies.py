"""What the endpoints' model packages must show, and when their drift is worth an alarm, read from ``policies/`` and checked before any template exists."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import InvalidPolicy
from quicksilver.gates.policy import Policy
from stacks.config import ConfigError, Stage

POLICIES_ROOT = Path(__file__).resolve().parents[1] / "policies"

AnyPolicy = TypeVar("AnyPolicy", Policy, DriftPolicy)


def policies_json(stage: Stage, root: Path = POLICIES_ROOT) -> str:
    """The canonical policies of the stage's endpoints, as one JSON object by endpoint.

    Raises ``ConfigError`` for an endpoint whose policy is missing, malformed or another endpoint's.
    """
    return _json({name: json.loads(policy.canonical_json) for name, policy in _policies(stage, root).items()})


def cutoffs_json(stage: Stage, root: Path = POLICIES_ROOT) -> str:
    """The decision cut-off of each of the stage's endpoints, as one JSON object. Raises as ``policies_json``."""
    return _json({name: policy.cutoff for name, policy in _policies(stage, root).items()})


EMULATED_LATE_HOURS = 1
"""How long an emulated stage waits for late records. It delivers at once, each record as an object of its own, and whoever
looked for two days of them after a window would read ten thousand objects of live traffic for none."""


def drift_policies_json(stage: Stage, root: Path = POLICIES_ROOT) -> str:
    """The drift policies of the stage's endpoints, without their defaults, as one JSON object by endpoint.

    Raises ``ConfigError`` for an endpoint whose drift policy is missing, malformed or another endpoint's.
    """
    policies = {endpoint.name: _drift_policy(endpoint.name, root) for endpoint in stage.endpoints}
    if stage.emulated:
        policies = {
            name: policy.model_copy(update={"late_hours": EMULATED_LATE_HOURS})
            for name, policy in policies.items()
        }
    return _json(
        {name: policy.model_dump(mode="json", exclude_defaults=True) for name, policy in policies.items()}
    )


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _drift_policy(endpoint: str, root: Path) -> DriftPolicy:
    return _read("drift policy", DriftPolicy.from_toml, f"drift/{endpoint}.toml", endpoint, root)


def _policies(stage: Stage, root: Path) -> dict[str, Policy]:
    return {
        endpoint.name: _read("gate policy", Policy.from_toml, f"{endpoint.name}.toml", endpoint.name, root)
        for endpoint in stage.endpoints
    }


def _read(kind: str, parsed: Callable[[str], AnyPolicy], file: str, endpoint: str, root: Path) -> AnyPolicy:
    try:
        policy = parsed((root / file).read_text())
    except FileNotFoundError:
        raise ConfigError(f"Endpoint {endpoint} has no {kind}: write policies/{file}.") from None
    except InvalidPolicy as error:
        reasons = "; ".join(str(field) for field in error.fields)
        raise ConfigError(f"The {kind} policies/{file} is not valid: {reasons}.") from None
    if policy.endpoint != endpoint:
        raise ConfigError(f"The {kind} policies/{file} is for the endpoint {policy.endpoint}.")
    return policy
