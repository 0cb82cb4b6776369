"""``POST /v1/{endpoint}/outcomes``: labels into the archive, all of a request or none, behind IAM and an API key.

What is answered with 200 is in the archive. The same request again changes nothing, and so a caller who got no answer
sends it again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.errors import FieldError, InvalidInput, InvalidRequest, Unavailable, whereabouts
from quicksilver.outcomes import Acceptance, Outcome, keep_outcomes
from quicksilver.ports import Clock, OutcomeStore
from quicksilver.problem import problem_answer, status_of
from quicksilver.request import body_of, parse_body

logger = logging.getLogger(__name__)

MAX_ROWS = 5_000
MAX_BYTES = 2 * 1024 * 1024
MAX_FAULTS = 20
"""Faults that are named; a request with more is refused with the first of them."""

_PATH = re.compile(r"/v1/(?P<endpoint>[^/]+)/outcomes/?")

Answer = dict[str, Any]


class OutcomesRequest(BaseModel):
    """Labels of one endpoint's predictions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcomes: Annotated[list[Outcome], Field(min_length=1, max_length=MAX_ROWS)]


class OutcomesKept(BaseModel):
    """How many labels are in the archive now, and how many of them say that the bad thing happened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcomes: int
    bad: int


class OutcomesApi:
    """Answers requests with outcomes of these endpoints."""

    def __init__(self, endpoints: Collection[str], store: OutcomeStore, clock: Clock) -> None:
        self._endpoints = frozenset(endpoints)
        self._store = store
        self._clock = clock

    def answer(self, event: Mapping[str, Any]) -> Answer:
        """Answer one API Gateway proxy event. Never raises, and logs nothing of what was sent."""
        request_id = str((event.get("requestContext") or {}).get("requestId") or "unknown")
        path = _PATH.fullmatch(str(event.get("path") or ""))
        if path is None or path["endpoint"] not in self._endpoints:
            unknown = FieldError("endpoint", "is not an endpoint of this stage")
            return problem_answer(HTTPStatus.NOT_FOUND, "There is no such endpoint.", request_id, [unknown])
        try:
            return self._keep(path["endpoint"], body_of(event))
        except InvalidInput as error:
            return problem_answer(status_of(error), str(error), request_id, error.fields)
        except Unavailable as error:
            logger.error("outcomes not kept: %s", error, extra={"request_id": request_id})
            detail = "The outcomes cannot be kept now, and none was; try again."
            return problem_answer(HTTPStatus.SERVICE_UNAVAILABLE, detail, request_id)
        except Exception as error:
            logger.error("request failed", extra={"request_id": request_id, **whereabouts(error)})
            detail = "The outcomes could not be kept."
            return problem_answer(HTTPStatus.INTERNAL_SERVER_ERROR, detail, request_id)

    def _keep(self, endpoint: str, body: str | bytes | None) -> Answer:
        outcomes = _accepted(parse_body(OutcomesRequest, body, MAX_BYTES), self._clock.now_ms())
        keep_outcomes(self._store, endpoint, outcomes)
        return {
            "statusCode": int(HTTPStatus.OK),
            "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
            "body": OutcomesKept(
                outcomes=len(outcomes), bad=sum(outcome.label for outcome in outcomes)
            ).model_dump_json(),
            "isBase64Encoded": False,
        }


def _accepted(request: OutcomesRequest, now_ms: int) -> list[Outcome]:
    acceptance = Acceptance(now_ms)
    faults = [
        FieldError(f"{place}.{field}" if field else place, reason)
        for place, outcome in ((f"outcomes.{row}", each) for row, each in enumerate(request.outcomes))
        for field, reason in acceptance.faults(place, outcome)
    ]
    if faults:
        raise InvalidRequest("The outcomes are not valid; none was kept.", faults[:MAX_FAULTS])
    return acceptance.accepted
