"""The prediction: what a scored request answers, and the one record that everything else reads.

The record is the response plus what it takes to prove it later: the vector, the contributions and
where and when it was scored. Replay needs nothing but the record and the package it names.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName
from quicksilver.evaluator import ExplainedBy
from quicksilver.fallback import DegradedModel
from quicksilver.features import Degraded
from quicksilver.model_version import ModelName, Sha256
from quicksilver.ports import LogEntry
from quicksilver.reasons import Reason
from quicksilver.routing import Role


class Status(StrEnum):
    SCORED = "scored"
    REFER = "refer"  # a feature whose policy is `refer` was degraded: a person decides
    FALLBACK = "fallback"  # no model version could be evaluated: the score is the contract's declared one


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServedArm(_Value):
    """The arm an entity is assigned to. ``holdout`` says that it is so whatever the shares are."""

    model: ModelName
    role: Role
    share_bp: int
    holdout: bool


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
    """The answer to one scoring request.

    ``raw_score`` is null for a fallback, and ``explained_by`` where nothing was explained. ``model`` is what answered:
    the model version of ``arm``, or what ``degraded`` says answered instead.
    """

    prediction_id: str
    endpoint: EndpointName
    entity_id: str
    status: Status
    score: float
    raw_score: float | None
    reasons: tuple[Reason, ...]
    explained_by: ExplainedBy | None
    model: ModelName
    package_sha256: Sha256
    fingerprint: Sha256
    arm: ServedArm
    route: int
    feature_ages_ms: dict[str, int]
    degraded: tuple[Degraded | DegradedModel, ...]
    timings: Timings


class PredictionRecord(ScoreResponse):
    """The one log schema. ``vector`` is in contract order and null is missing; ``time`` is UTC ISO-8601 with ms.

    ``vector`` is empty where a fallback had none; ``contributions`` is null where nothing was explained.
    ``keys`` are the rows the online features were read from, for joins with outcomes and replay.
    """

    schema_version: Literal[3] = 3
    stage: str
    time: str
    request_id: str
    function_version: str
    vector: tuple[float | None, ...]
    contributions: tuple[float, ...] | None
    expected_value: float | None
    keys: Annotated[dict[str, str], Field(default_factory=dict)]

    @cached_property
    def answer_json(self) -> str:
        """The response: the record without what only an audit needs."""
        return self.model_dump_json(include=RESPONSE_FIELDS)

    @cached_property
    def audit_json(self) -> str:
        """What only an audit needs: an object that shares no field with the response."""
        return self.model_dump_json(exclude=RESPONSE_FIELDS)

    def to_entry(self) -> LogEntry:
        """The record as it goes on the stream: one JSON line, partitioned by entity."""
        return _entry(self.prediction_id, self.entity_id, self.answer_json, self.audit_json)

    @property
    def kept(self) -> str:
        """The record as it is kept under an idempotency key: the answer's very bytes, and what only an audit needs, a line each."""
        return f"{self.answer_json}\n{self.audit_json}"


RESPONSE_FIELDS = set(ScoreResponse.model_fields)


def kept_answer(kept: str) -> str:
    """The answer of a record that was kept."""
    return kept.partition("\n")[0]


def kept_entry(kept: str) -> LogEntry:
    """A record that was kept, as it went on the stream: the same bytes."""
    answer, _, audit = kept.partition("\n")
    content = json.loads(answer)
    return _entry(content["prediction_id"], content["entity_id"], answer, audit)


def _entry(prediction_id: str, entity_id: str, answer: str, audit: str) -> LogEntry:
    # Two objects, joined: what is answered is serialized once.
    return LogEntry(prediction_id, entity_id, f"{answer[:-1]},{audit[1:]}\n".encode())
