"""The document of the scoring API, which decision engines call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from quicksilver.contract import ENDPOINT_NAME_PATTERN
from quicksilver.idempotency import STATUS_HEADER, KeyStatus
from quicksilver.reasons import Wanted
from quicksilver.request import (
    DEADLINE_HEADER,
    IDEMPOTENCY_HEADER,
    IDEMPOTENCY_KEY,
    MAX_DEADLINE_MS,
    REASONS_PARAMETER,
)
from stacks.openapi.document import SIGNED, Document, body, document, operation_responses, path_parameter
from stacks.openapi.problems import Problem, gateway_statuses
from stacks.openapi.schemas import ANSWER, REQUEST, Kind, schemas
from stacks.openapi.scoring_operations import OPERATIONS, ScoringOperation

EVENTS = Path(__file__).resolve().parents[2] / "events"
_SCORE, _MISSING = "score_card_fraud.json", "score_card_fraud_missing_amount.json"

_API_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "x-api-key",
    "description": "The stage's API key: it meters its caller, and opens nothing by itself.",
}

_WHEN: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The body is not a JSON object, or a header or a parameter is not one of its values",
    HTTPStatus.NOT_FOUND: "The stage has no such endpoint",
    HTTPStatus.CONFLICT: "The idempotency key is of another request, or one with it is being answered",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body has more bytes than this operation takes",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The body does not have the schema, or the contract refuses what it says",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something unforeseen",
    HTTPStatus.SERVICE_UNAVAILABLE: "Nothing can answer, or record the answer, now",
}


def scoring_document() -> Document:
    """The API that decision engines call."""
    kinds: list[Kind] = [(each.body, REQUEST) for each in OPERATIONS.values()]
    kinds += [(each.answers, ANSWER) for each in OPERATIONS.values()]
    found, components = schemas([*kinds, (Problem, ANSWER)])
    return document(
        title="Quicksilver: scoring",
        description="Scores decisions, and takes the outcomes of earlier ones.",
        security={"signature": SIGNED, "api_key": _API_KEY},
        schemas=components,
        when=_WHEN,
        paths={
            f"/v1/{{endpoint}}/{verb}": {"post": _operation(verb, operation, found)}
            for verb, operation in OPERATIONS.items()
        },
    )


def _operation(
    verb: str, operation: ScoringOperation, found: Mapping[Kind, dict[str, Any]]
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if operation.keyed:
        headers[STATUS_HEADER] = {
            "description": "What the idempotency key was worth; only with a key.",
            "schema": {"enum": [each.value for each in KeyStatus]},
        }
    content = body(found[operation.body, REQUEST], operation.max_body_bytes)
    content["content"]["application/json"]["example"] = _example(verb)
    absent = set() if operation.keyed else {HTTPStatus.CONFLICT}
    return {
        "operationId": operation.name,
        "summary": operation.does,
        "parameters": [path_parameter("endpoint", ENDPOINT_NAME_PATTERN), *_asked(operation)],
        "requestBody": content,
        "responses": operation_responses(
            found[operation.answers, ANSWER], gateway_statuses() | _WHEN.keys() - absent, headers
        ),
    }


def _example(verb: str) -> Any:
    """A request as the saved events have it."""
    match verb:
        case "score":
            return _body_of(_SCORE)
        case "score-batch":
            return {"rows": [_body_of(_SCORE), _body_of(_MISSING)]}
        case _:
            return _body_of(f"{verb}_card_fraud.json")


def _body_of(event: str) -> Any:
    return json.loads(json.loads((EVENTS / event).read_text())["body"])


def _asked(operation: ScoringOperation) -> Sequence[dict[str, Any]]:
    if not operation.asks:
        return []
    asked: list[dict[str, Any]] = [
        {
            "name": REASONS_PARAMETER,
            "in": "query",
            "description": "Which reasons are wanted; with none, the score is not explained.",
            "schema": {"enum": [each.value for each in Wanted], "default": Wanted.TOP.value},
        },
        {
            "name": DEADLINE_HEADER,
            "in": "header",
            "description": "Milliseconds within which the answer is wanted.",
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_DEADLINE_MS},
        },
    ]
    if operation.keyed:
        asked.append(
            {
                "name": IDEMPOTENCY_HEADER,
                "in": "header",
                "description": "The same answer for the same request, where the endpoint keeps answers.",
                "schema": {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
            }
        )
    return asked
