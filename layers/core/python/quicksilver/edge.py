"""The edge: API Gateway proxy events in, HTTP answers out. The only place that knows status codes.

Errors are problem details (RFC 9457). What a caller reads is what an error class is allowed to say;
anything unforeseen is a plain 500 with the request id, and the rest stays in the log.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from quicksilver.batch import Outcome, score_batch
from quicksilver.errors import (
    Conflict,
    FeaturesLate,
    FieldError,
    InvalidInput,
    KeyInFlight,
    LogFull,
    NoModel,
    NotEvaluated,
    Unavailable,
    whereabouts,
)
from quicksilver.metrics import Metric
from quicksilver.ports import Metrics
from quicksilver.prediction import PredictionRecord, kept_answer
from quicksilver.problem import problem, problem_answer, status_of
from quicksilver.request import IDEMPOTENCY_HEADER, Asked, as_bytes, body_of, parse_asked
from quicksilver.scoring import Caller, Scorer

if TYPE_CHECKING:
    from quicksilver.idempotency import Idempotency

logger = logging.getLogger(__name__)

# What a caller reads; the error's own words name parts of ours, and stay in the log.
_UNAVAILABLE: tuple[tuple[type[Unavailable], str], ...] = (
    (NoModel, "No model version can answer now; try again."),
    (LogFull, "Decisions cannot be recorded now, so none is made; try again."),
    (FeaturesLate, "A feature that the decision cannot do without was not read in time; try again."),
    (NotEvaluated, "The model version could not be evaluated for this request; try again."),
    (Unavailable, "The request cannot be scored now; try again."),
)

Answer = dict[str, Any]

BATCH_PATH = "/score-batch"


def answer_request(
    event: Mapping[str, Any],
    scorer: Scorer,
    *,
    function_version: str,
    idempotency: Idempotency | None = None,
) -> Answer:
    """Answer one ``POST /v1/{endpoint}/score``, under its idempotency key where the endpoint has any, or one
    ``.../score-batch``. Never raises."""
    request_id = str((event.get("requestContext") or {}).get("requestId") or "unknown")
    caller = Caller(request_id, function_version)
    try:
        if str(event.get("path") or "").endswith(BATCH_PATH):
            asked = asked_of(event, with_key=False)
            return _answer_batch(score_batch(scorer, body_of(event), caller, asked), scorer.metrics)
        body, asked = body_of(event), asked_of(event, with_key=idempotency is not None)
        if idempotency is not None and asked.idempotency_key is not None:
            return _answer_keyed(event, body, asked, caller, scorer, idempotency)
        return _answer(scorer.score(body, caller, asked).answer_json)
    except Exception as error:
        return _answer_error(error, request_id, scorer.metrics)


def _answer_keyed(
    event: Mapping[str, Any],
    body: str | bytes | None,
    asked: Asked,
    caller: Caller,
    scorer: Scorer,
    idempotency: Idempotency,
) -> Answer:
    # Imported here: an endpoint without keys does not pay for it at a cold start.
    from quicksilver.idempotency import STATUS_HEADER, KeyedRequest, KeyStatus

    identity = (event.get("requestContext") or {}).get("identity") or {}
    request = KeyedRequest(
        caller=str(identity.get("userArn") or ""),
        key=asked.idempotency_key or "",
        payload=asked.reasons.encode() + b"\n" + as_bytes(body),
    )
    kept = idempotency.answer(
        request,
        scorer.deadline(asked),
        lambda deadline: scorer.score(body, caller, asked, deadline).kept,
    )
    replayed = kept.status is KeyStatus.REPLAYED
    answer = scorer.repeat(kept.body) if replayed else kept_answer(kept.body)
    return _answer(answer, {STATUS_HEADER: kept.status.value})


def _answer_batch(outcomes: Sequence[Outcome], metrics: Metrics) -> Answer:
    """One result a row, in order: a prediction as a request of its own would get, or the problem it would get."""
    results = []
    counts: Counter[Metric] = Counter()
    for outcome in outcomes:
        if isinstance(outcome, PredictionRecord):
            results.append(f'{{"prediction":{outcome.answer_json}}}')
        else:
            status, detail, fields = refusal(outcome)
            counts.update(_counted(status))
            results.append(json.dumps({"problem": problem(status, detail, fields=fields)}))
    for metric, value in counts.items():
        metrics.count(metric, value)
    scored = sum(isinstance(outcome, PredictionRecord) for outcome in outcomes)
    body = f'{{"scored":{scored},"failed":{len(outcomes) - scored},"results":[{",".join(results)}]}}'
    return _answer(body)


def _counted(status: HTTPStatus) -> tuple[Metric, ...]:
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return Metric.REQUESTS_UNAVAILABLE, Metric.REQUESTS_UNANSWERED
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return Metric.REQUESTS_FAILED, Metric.REQUESTS_UNANSWERED
    return (Metric.REQUESTS_REFUSED,)


def _answer(body: str, headers: Mapping[str, str] | None = None) -> Answer:
    return {
        "statusCode": int(HTTPStatus.OK),
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})},
        "body": body,
        "isBase64Encoded": False,
    }


def _answer_error(error: Exception, request_id: str, metrics: Metrics) -> Answer:
    """The problem that an error is answered with; it is counted, and logged where it is ours."""
    status, detail, fields = refusal(error)
    for metric in _counted(status):
        metrics.count(metric)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        logger.error("request not answered: %s", error, extra={"request_id": request_id})
    elif status is HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("request failed", extra={"request_id": request_id, **whereabouts(error)})
    return problem_answer(status, detail, request_id, fields, passes=isinstance(error, KeyInFlight))


def refusal(error: Exception) -> tuple[HTTPStatus, str, Sequence[FieldError]]:
    """What a caller is told of an error: status, sentence, and the fields that were refused."""
    if isinstance(error, InvalidInput):
        return status_of(error), str(error), error.fields
    if isinstance(error, Conflict):
        return HTTPStatus.CONFLICT, str(error), (_key_refused(error),)
    if isinstance(error, Unavailable):
        detail = next(text for kind, text in _UNAVAILABLE if isinstance(error, kind))
        return HTTPStatus.SERVICE_UNAVAILABLE, detail, ()
    return HTTPStatus.INTERNAL_SERVER_ERROR, "The request could not be scored.", ()


def _key_refused(error: Conflict) -> FieldError:
    reason = "is being answered" if isinstance(error, KeyInFlight) else "has been used for another request"
    return FieldError(f"headers.{IDEMPOTENCY_HEADER}", reason)


def asked_of(event: Mapping[str, Any], *, with_key: bool = False) -> Asked:
    """How a proxy event's caller wants to be answered. Raises ``InvalidParameter``."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return parse_asked(headers, event.get("queryStringParameters") or {}, with_key=with_key)
