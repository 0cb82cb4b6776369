"""The request for a new model: one versioned event with the evidence and the query of its training set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName
from quicksilver.model_version import ModelName

MAX_EVIDENCE = 20
"""Windows that a request names, the latest last: an event of EventBridge holds 256 KB."""

MAX_SENTENCES = 5
"""Findings that it names of each window, those that matter most first."""

MAX_SENTENCE = 400


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Value):
    """A window that speaks for a new model: its document's name, and each alarm in words."""

    kind: Literal["drift", "performance"]
    window: str
    start: str
    end: str
    sentences: Annotated[
        tuple[Annotated[str, Field(max_length=MAX_SENTENCE)], ...], Field(max_length=MAX_SENTENCES)
    ]


class TrainingSet(_Value):
    """The predictions [start, end) with outcomes, as the query port answers ``sql``: columns ``prediction_id``, ``time``,
    ``vector``, ``label``, ``groups`` and ``degraded`` (both JSON), of one fingerprint."""

    start: str
    end: str
    fingerprint: str
    sql: str


RequestId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*-[0-9]{6}$", max_length=80)]


class RetrainRequest(_Value):
    """Version 1 of the detail of ``RetrainRequested``, and a document of ``monitoring.Kind.RETRAIN`` under its id.

    ``id`` is the endpoint and the number of the request, ``card-fraud-000007``: of several runs that ask for the seventh at
    once, one does. ``evidence`` ends with the window that decided, which decides no other; it is empty where a person asked.
    """

    schema_version: Literal[1] = 1
    id: RequestId
    stage: str
    endpoint: EndpointName
    champion: ModelName
    requested_at: str
    requested_by: str | None = None
    """The IAM identity of the person who asked; None for the schedule."""
    reason: Annotated[str, Field(min_length=1, max_length=1_000)]
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=MAX_EVIDENCE)]
    training_set: TrainingSet


def request_id(endpoint: str, number: int) -> str:
    """The id of an endpoint's request of that number. Ids of an endpoint sort as their numbers do."""
    return f"{endpoint}-{number:06d}"


def shortened(sentence: str) -> str:
    """A sentence that fits a request and an event."""
    return sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 3] + "..."
