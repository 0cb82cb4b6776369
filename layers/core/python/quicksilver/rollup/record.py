"""What the rollup counts of one prediction record.

Only the fields that are counted are read: records of an earlier schema are on the stream after a release, and later
ones after it is taken back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, FiniteFloat, ValidationError

from quicksilver.contract import EndpointName
from quicksilver.errors import FieldError, InvalidInput
from quicksilver.fallback import ModelCause
from quicksilver.model_version import ModelName
from quicksilver.prediction import Status
from quicksilver.rollup_counts import (
    LANES,
    LATENCY_BINS,
    SCORE_BINS,
    ArmCounts,
    ArmKey,
    LaneKey,
    latency_bin,
    not_loaded_key,
    score_bin,
)
from quicksilver.routing import Role

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Arm(BaseModel):
    role: Role
    model: ModelName | None = None  # schema version 2 has no other than the one that answered
    holdout: bool = False


class _Note(BaseModel):
    cause: str
    feature: str | None = None
    model: ModelName | None = None


class _Timings(BaseModel):
    total_us: Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    prediction_id: UUID
    endpoint: EndpointName
    entity_id: str
    time: AwareDatetime
    status: Status
    score: FiniteFloat
    model: ModelName
    arm: _Arm
    degraded: tuple[_Note, ...]
    timings: _Timings


@dataclass(frozen=True, slots=True)
class Counted:
    """One record, as it is counted. ``identity`` is the same for each delivery of it, and no other record's."""

    endpoint: str
    entity_id: str
    time_ms: int
    identity: bytes
    arm: ArmKey
    error: bool
    degraded: bool
    not_loaded: frozenset[str]
    score: float
    latency_us: int

    def lane(self, period_seconds: int) -> LaneKey:
        """Where it is counted: by its own time and by the hash that chooses its shard.

        Kinesis takes the MD5 of the partition key, and a shard is a range of it, so two shards seldom share a lane,
        and a record has the same one whichever shard it comes by and however often.
        https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
        """
        digest = hashlib.md5(self.entity_id.encode(), usedforsecurity=False).digest()
        period_ms = period_seconds * 1_000
        return LaneKey(self.endpoint, self.time_ms // period_ms * period_ms, digest[0] * LANES // 256)


def read_record(data: bytes) -> Counted:
    """Read a prediction record off the stream. Raises ``InvalidInput`` naming fields, and never their values."""
    try:
        record = _Record.model_validate_json(data)
    except ValidationError as error:
        fields = [
            FieldError(".".join(map(str, item["loc"])) or "(record)", item["type"])
            for item in error.errors(include_input=False, include_context=False, include_url=False)
        ]
        raise InvalidInput("It is no prediction record.", fields) from None
    assigned = record.arm.model or record.model
    return Counted(
        endpoint=record.endpoint,
        entity_id=record.entity_id,
        time_ms=(record.time - _EPOCH) // timedelta(milliseconds=1),
        identity=record.prediction_id.bytes[6:],  # a UUIDv7's random part: the rest is its time
        arm=ArmKey(assigned, record.arm.role, record.arm.holdout),
        error=record.model != assigned or record.status is Status.FALLBACK,
        degraded=any(note.feature is not None for note in record.degraded),
        not_loaded=frozenset(
            note.model for note in record.degraded if note.model and note.cause == ModelCause.NOT_LOADED
        ),
        score=record.score,
        latency_us=record.timings.total_us,
    )


@dataclass(slots=True)
class _Tally:
    """Counts in the making."""

    requests: int = 0
    errors: int = 0
    not_loaded: int = 0
    degraded: int = 0
    approved: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * LATENCY_BINS)
    scores: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)

    def add(self, record: Counted, cutoff: float) -> None:
        self.requests += 1
        if record.error:
            self.errors += 1
            return
        self.degraded += record.degraded
        self.approved += record.score < cutoff
        self.latency[latency_bin(record.latency_us)] += 1
        self.scores[score_bin(record.score)] += 1

    def counts(self) -> ArmCounts:
        return ArmCounts(
            self.requests,
            self.errors,
            self.not_loaded,
            self.degraded,
            self.approved,
            tuple(self.latency),
            tuple(self.scores),
        )


def count(records: Iterable[Counted], cutoff: float) -> dict[ArmKey, ArmCounts]:
    """What records add up to, by arm. A score at or above ``cutoff`` is the adverse decision."""
    tallies: dict[ArmKey, _Tally] = {}
    for record in records:
        tallies.setdefault(record.arm, _Tally()).add(record, cutoff)
        for model in record.not_loaded:
            tallies.setdefault(not_loaded_key(model), _Tally()).not_loaded += 1
    return {key: tally.counts() for key, tally in tallies.items()}
