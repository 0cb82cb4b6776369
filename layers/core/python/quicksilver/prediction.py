"""The prediction: what a scored request answers, and the one record that everything else reads.

The record is the response plus what it takes to prove it later: the vector, the contributions and
where and when it was scored. Replay needs nothing but the record and the package it names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName
from quicksilver.features import Degraded
from quicksilver.model_version import ModelName, Sha256
from quicksilver.ports import LogEntry
from quicksilver.reasons import Reason
from quicksilver.routing import Role


class Status(StrEnum):
    SCORED = "scored"
    REFER = "refer"  # a feature whose policy is `refer` was degraded: a person decides


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServedArm(_Value):
    role: Role
    share_bp: int


class Timings(_Value):
    """Microseconds spent in each step, and in all of them."""

    validate_us: int
    route_us: int
    features_us: int
    vector_us: int
    score_us: int
    reasons_us: int
    total_us: int


class ScoreResponse(_Value):
    """The answer to one scoring request."""

    prediction_id: str
    endpoint: EndpointName
    entity_id: str
    status: Status
    score: float
    raw_score: float
    reasons: tuple[Reason, ...]
    model: ModelName
    package_sha256: Sha256
    fingerprint: Sha256
    arm: ServedArm
    route: int
    feature_ages_ms: dict[str, int]
    degraded: tuple[Degraded, ...]
    timings: Timings


class PredictionRecord(ScoreResponse):
    """The one log schema. ``vector`` is in contract order and null is missing; ``time`` is UTC ISO-8601 with ms.

    ``keys`` are the rows the online features were read from, for joins with outcomes and replay.
    """

    schema_version: Literal[1] = 1
    stage: str
    time: str
    request_id: str
    function_version: str
    vector: tuple[float | None, ...]
    contributions: tuple[float, ...]
    expected_value: float
    keys: Annotated[dict[str, str], Field(default_factory=dict)]

    def to_entry(self) -> LogEntry:
        """The record as it goes on the stream: one JSON line, partitioned by entity."""
        return LogEntry(self.prediction_id, self.entity_id, self.model_dump_json().encode() + b"\n")


RESPONSE_FIELDS = frozenset(ScoreResponse.model_fields)
