"""The operations of the scoring API: what each takes, how much of it, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from quicksilver.outcomes_api import MAX_BYTES, OutcomesKept, OutcomesRequest
from quicksilver.prediction import ScoreResponse
from quicksilver.request import MAX_BATCH_BYTES, MAX_BODY_BYTES, BatchRequest, ScoreRequest
from stacks.openapi.problems import Problem

OUTCOMES = "outcomes"


class RowPrediction(BaseModel):
    """A row that was scored."""

    prediction: ScoreResponse


class RowProblem(BaseModel):
    """A row that was not, with the problem it would have got as a request of its own."""

    problem: Problem


class BatchResponse(BaseModel):
    """One result a row, in the order of the rows. (The function writes it from each record's own bytes.)"""

    scored: int = Field(ge=0)
    failed: int = Field(ge=0)
    results: Sequence[RowPrediction | RowProblem]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringOperation:
    """``POST /v1/{endpoint}/<verb>``. ``asks`` says that headers and query say how to answer; ``keyed``, that an
    ``Idempotency-Key`` may be sent."""

    name: str
    does: str
    body: type[BaseModel]
    max_body_bytes: int
    answers: type[BaseModel]
    asks: bool
    keyed: bool = False


OPERATIONS: Mapping[str, ScoringOperation] = {
    "score": ScoringOperation(
        name="score",
        does="Score one decision.",
        body=ScoreRequest,
        max_body_bytes=MAX_BODY_BYTES,
        answers=ScoreResponse,
        asks=True,
        keyed=True,
    ),
    "score-batch": ScoringOperation(
        name="score_batch",
        does="Score many decisions. A row that is not valid fails by itself, and no other.",
        body=BatchRequest,
        max_body_bytes=MAX_BATCH_BYTES,
        answers=BatchResponse,
        asks=True,
    ),
    OUTCOMES: ScoringOperation(
        name="keep_outcomes",
        does="Put labels of earlier predictions into the archive, all of a request or none.",
        body=OutcomesRequest,
        max_body_bytes=MAX_BYTES,
        answers=OutcomesKept,
        asks=False,
    ),
}
"""By verb."""
