"""The scoring request: its schema, and the one place where a body is parsed.

The schema here is the envelope. What ``features`` may hold depends on the contract of the model
version that answers, so each value's type is checked there, by ``Feature.encode``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from quicksilver.contract import FeatureName, field_error
from quicksilver.errors import BodyTooLarge, FieldError, InvalidParameter, InvalidRequest, MalformedBody
from quicksilver.reasons import Wanted

MAX_BODY_BYTES = 64 * 1024
"""A request names some tens of features. Lambda itself refuses a synchronous payload over 6 MB."""

EntityId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")]
"""Printable ASCII without blanks: it becomes a DynamoDB key and an assignment input."""

FeatureValue = Annotated[Any, WithJsonSchema({"type": ["number", "string", "boolean", "null"]})]


DEADLINE_HEADER = "X-Deadline-Ms"
REASONS_PARAMETER = "reasons"
IDEMPOTENCY_HEADER = "Idempotency-Key"
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,128}")
MAX_DEADLINE_MS = 999_999


@dataclass(frozen=True, slots=True)
class Asked:
    """How a caller wants to be answered: which reasons, within how many milliseconds, and under which key."""

    reasons: Wanted = Wanted.TOP
    deadline_ms: int | None = None
    idempotency_key: str | None = None


def parse_asked(headers: Mapping[str, str], query: Mapping[str, str], *, with_key: bool = False) -> Asked:
    """Read a request's headers (names in lower case) and query parameter.

    Raises ``InvalidParameter`` naming each that is not one of its values, or unknown. An idempotency key is
    refused where there is none to be had: a caller who relies on it must not find out by a second decision.
    """
    fields = [
        FieldError(f"query.{name}", "is not a parameter of this request")
        for name in query
        if name != REASONS_PARAMETER
    ]
    reasons = query.get(REASONS_PARAMETER, Wanted.TOP)
    if reasons not in set(Wanted):
        fields.append(FieldError(f"query.{REASONS_PARAMETER}", f"must be {', '.join(Wanted)}"))
    deadline = headers.get(DEADLINE_HEADER.lower())
    if deadline is not None and not re.fullmatch(r"[1-9]\d{0,5}", deadline, re.ASCII):
        fields.append(
            FieldError(
                f"headers.{DEADLINE_HEADER}",
                f"must be a whole number of milliseconds, 1 to {MAX_DEADLINE_MS}",
            )
        )
    key = headers.get(IDEMPOTENCY_HEADER.lower())
    if key is not None and not with_key:
        fields.append(FieldError(f"headers.{IDEMPOTENCY_HEADER}", "is not supported by this request"))
    elif key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        reason = "must be 1 to 128 printable ASCII characters without blanks"
        fields.append(FieldError(f"headers.{IDEMPOTENCY_HEADER}", reason))
    if fields:
        raise InvalidParameter("The request's parameters are not valid.", fields)
    return Asked(Wanted(reasons), int(deadline) if deadline else None, key)


class ScoreRequest(BaseModel):
    """One decision to score.

    ``entity_id`` names the entity the decision is about; ``keys`` names the rows of other feature
    groups (a merchant, a device); ``features`` are the values only the caller knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entity_id: EntityId
    keys: dict[FeatureName, EntityId] = Field(default_factory=dict)
    features: dict[FeatureName, FeatureValue] = Field(default_factory=dict)


MAX_BATCH_ROWS = 500
MAX_BATCH_BYTES = 2 * 1024 * 1024


class BatchRequest(BaseModel):
    """Many decisions to score at once; each row is a request of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[list[ScoreRequest], Field(min_length=1, max_length=MAX_BATCH_ROWS)]


class _Envelope(BaseModel):
    """A batch whose rows are not looked at yet, so that one bad row does not fail the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[list[Any], Field(min_length=1, max_length=MAX_BATCH_ROWS)]


BatchRow: TypeAlias = ScoreRequest | InvalidRequest
"""A row, or why it is none."""


def parse_batch(body: str | bytes | None) -> list[BatchRow]:
    """Parse and validate a batch's body once. Raises as ``parse_request`` does, for the batch as a whole."""
    return [_row(row) for row in parse_body(_Envelope, body, MAX_BATCH_BYTES).rows]


def _row(content: Any) -> BatchRow:
    try:
        return ScoreRequest.model_validate(content)
    except ValidationError as error:
        return _invalid(error)


def body_of(event: Mapping[str, Any]) -> str | bytes | None:
    """The body of an API Gateway proxy event. Raises ``MalformedBody``."""
    body = event.get("body")
    if body is None or not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedBody("The body is not JSON.", [FieldError("(body)", "is not valid base64")]) from None


def as_bytes(body: str | bytes | None) -> bytes:
    """A body as it came over the wire."""
    if isinstance(body, str):
        # A lone surrogate, which JSON can smuggle into an event, becomes what the parser refuses.
        return body.encode(errors="surrogatepass")
    return body or b""


def parse_request(body: str | bytes | None) -> ScoreRequest:
    """Parse and validate a body once.

    Raises ``BodyTooLarge``, ``MalformedBody`` (not JSON, not an object) or ``InvalidRequest``, each
    naming the field and the reason and never repeating the value.
    """
    return parse_body(ScoreRequest, body, MAX_BODY_BYTES)


Parsed = TypeVar("Parsed", bound=BaseModel)


def parse_body(kind: type[Parsed], body: str | bytes | None, most_bytes: int) -> Parsed:
    """A body as one of our models. Raises as ``parse_request`` does."""
    if body is None:
        raise MalformedBody("The body is empty.", [FieldError("(body)", "must be a JSON object")])
    body = as_bytes(body)
    if len(body) > most_bytes:
        raise BodyTooLarge(
            "The body is too large.", [FieldError("(body)", f"must be at most {most_bytes} bytes")]
        )
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            fields = [FieldError("(body)", str(first["msg"]))]
            raise MalformedBody("The body is not JSON.", fields) from None
        if first["type"] == "model_type":
            fields = [FieldError("(body)", "must be a JSON object")]
            raise MalformedBody("The body is not a JSON object.", fields) from None
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> InvalidRequest:
    items = error.errors(include_url=False, include_input=False)
    return InvalidRequest("The request is not valid.", [field_error(item) for item in items[:20]])
