"""The gate report: what was checked, on what, by which policy, with which numbers. It is the evidence of an approval.

A report is a value with a digest: the registry keeps it by its SHA-256, and an approval signs that digest.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName
from quicksilver.model_version import ModelName, Sha256


class Gate(StrEnum):
    PERFORMANCE = "performance"
    BIAS = "bias"
    CONSISTENCY = "consistency"
    LATENCY = "latency"


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105 - an outcome, no password
    WARN = "warn"
    FAIL = "fail"


_SEVERITY = {Outcome.PASS: 0, Outcome.WARN: 1, Outcome.FAIL: 2}


class Check(BaseModel):
    """One thing that was checked. ``low`` and ``high`` are the ends of the value's confidence interval;
    ``champion`` is the champion's value on the same rows; ``sentence`` says it in plain words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: Gate
    name: str
    outcome: Outcome
    sentence: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    champion: float | None = None
    attribute: str | None = None
    group: str | None = None
    rows: int | None = None

    @property
    def key(self) -> str:
        """What an override names: ``bias.adverse_impact_ratio[sex=female]``."""
        where = f"[{self.attribute}={self.group}]" if self.attribute and self.group else ""
        return f"{self.gate.value}.{self.name}{where}"


class GateReport(BaseModel):
    """The record of one gate run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    endpoint: EndpointName
    package_sha256: Sha256
    fingerprint: Sha256
    champion: ModelName | None = None
    champion_sha256: Sha256 | None = None
    data_sha256: Sha256
    rows: int
    policy_version: int
    policy_sha256: Sha256
    created_at: str
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]

    @property
    def outcome(self) -> Outcome:
        """The worst of its checks."""
        return max((check.outcome for check in self.checks), key=_SEVERITY.__getitem__)

    def of_gate(self, gate: Gate) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.gate is gate)

    @property
    def canonical_json(self) -> bytes:
        content = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.canonical_json).hexdigest()
