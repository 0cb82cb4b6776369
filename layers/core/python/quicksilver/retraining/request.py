"""The request for a new model: one versioned event with the evidence and the query of its training set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName
from quicksilver.model_version import ModelName


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Value):
    """A window that speaks for a new model: its document's name, and each alarm in words."""

    kind: Literal["drift", "performance"]
    window: str
    start: str
    end: str
    sentences: tuple[str, ...]


class TrainingSet(_Value):
    """The predictions [start, end) with outcomes, as the query port answers ``sql``: columns ``prediction_id``, ``time``,
    ``vector``, ``label`` and ``groups``, of one fingerprint."""

    start: str
    end: str
    fingerprint: str
    sql: str


class RetrainRequest(_Value):
    """Version 1 of the detail of ``RetrainRequested``. ``id`` is the endpoint and the window that decided, so that the same
    evidence asks once however often it is looked at."""

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=80)]
    stage: str
    endpoint: EndpointName
    champion: ModelName
    requested_at: str
    reason: str
    evidence: Annotated[tuple[Evidence, ...], Field(min_length=1)]
    training_set: TrainingSet
