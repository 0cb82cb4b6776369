"""Problem details (RFC 9457): the one form in which a request is refused, here and at the gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from quicksilver.errors import BodyTooLarge, FieldError, InvalidInput, InvalidParameter, MalformedBody

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 1

# RFC 9110's names. Python's own differ between the versions that run here and on Lambda.
_TITLES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}


def status_of(error: InvalidInput) -> HTTPStatus:
    """The status that a caller's fault is refused with."""
    if isinstance(error, BodyTooLarge):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if isinstance(error, MalformedBody | InvalidParameter):
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.UNPROCESSABLE_ENTITY


def problem(
    status: HTTPStatus, detail: str, *, instance: str | None = None, fields: Sequence[FieldError] = ()
) -> dict[str, Any]:
    """A problem as a JSON object; ``errors`` names each refused field and its reason."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, status.phrase),
        "status": int(status),
        "detail": detail,
    }
    if instance:
        content["instance"] = instance
    if fields:
        content["errors"] = [{"field": item.field, "reason": item.reason} for item in fields]
    return content


def problem_answer(
    status: HTTPStatus,
    detail: str,
    request_id: str,
    fields: Sequence[FieldError] = (),
    *,
    passes: bool = False,
) -> dict[str, Any]:
    """A problem as a Lambda proxy answer. One that ``passes``, as every 503 does, says when to try again."""
    headers = {"Content-Type": PROBLEM_JSON, "Cache-Control": "no-store"}
    if passes or status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return {
        "statusCode": int(status),
        "headers": headers,
        "body": json.dumps(problem(status, detail, instance=f"urn:request:{request_id}", fields=fields)),
        "isBase64Encoded": False,
    }
