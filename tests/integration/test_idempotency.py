"""``Idempotency-Key`` through API Gateway on the emulator: one decision, one record, the same bytes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.local_stack import eventually

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

Body = dict[str, Any]


@pytest.fixture
def key() -> str:
    return str(uuid4())


def once_each(stack: LocalStack, prediction_id: str) -> set[str]:
    """The records of a prediction. A repetition brings a copy of its record, the same to the byte."""
    records = eventually(lambda: stack.archived([prediction_id]), "it is archived")
    return {json.dumps(record) for record in records}


def test_a_repetition_gets_the_same_bytes_and_no_other_record(
    stack: LocalStack, request_body: Body, key: str
) -> None:
    first = stack.score(request_body, Idempotency_Key=key)
    again = stack.score(request_body, Idempotency_Key=key)
    assert (first.status, first.headers["Idempotency-Status"]) == (200, "stored"), first.content
    assert (again.status, again.headers["Idempotency-Status"]) == (200, "replayed")
    assert again.body == first.body
    assert len(once_each(stack, first.content["prediction_id"])) == 1


def test_another_payload_is_409(stack: LocalStack, request_body: Body, key: str) -> None:
    stack.score(request_body, Idempotency_Key=key)
    other = stack.score({**request_body, "entity_id": "card_2"}, Idempotency_Key=key)
    assert (other.status, other.headers["Content-Type"]) == (409, "application/problem+json")
    assert other.content["errors"][0]["field"] == "headers.Idempotency-Key"


def test_another_caller_with_the_same_key_is_answered_for_itself(
    stack: LocalStack, request_body: Body, key: str
) -> None:
    first = stack.score(request_body, Idempotency_Key=key)
    other = stack.as_("grace").api.score("card-fraud", request_body, idempotency_key=key)
    assert other.headers["Idempotency-Status"] == "stored"
    assert other.content["prediction_id"] != first.content["prediction_id"]


def test_an_endpoint_without_keys_refuses_one(stack: LocalStack, request_body: Body, key: str) -> None:
    answer = stack.score(request_body, endpoint="credit-line", Idempotency_Key=key)
    assert answer.status == 400
    assert answer.content["errors"][0]["field"] == "headers.Idempotency-Key"


def test_a_refused_request_leaves_its_key_free(stack: LocalStack, request_body: Body, key: str) -> None:
    assert stack.score({"entity_id": "card_1"}, Idempotency_Key=key).status == 422
    assert stack.score(request_body, Idempotency_Key=key).headers["Idempotency-Status"] == "stored"


def test_fifty_requests_with_one_key_eight_at_a_time_are_one_decision(
    stack: LocalStack, request_body: Body, key: str
) -> None:
    # Given fifty of the same, for an entity that nobody else asks about
    request = {**request_body, "entity_id": f"card_{key}"}
    # When they come at once; the emulator starts a process for each request at a time, so eight
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stack.score(request, Idempotency_Key=key), range(50)))
    # Then whoever got a decision got the same, and the others know that they may ask again
    decided = [answer for answer in answers if answer.status == 200]
    assert len({answer.body for answer in decided}) == 1
    assert [answer.headers["Idempotency-Status"] for answer in decided].count("stored") == 1
    assert {(answer.status, answer.headers["Retry-After"]) for answer in answers if answer.status != 200} <= {
        (409, "1")
    }
    # And asking again gets it
    again = stack.score(request, Idempotency_Key=key)
    assert (again.body, again.headers["Idempotency-Status"]) == (decided[0].body, "replayed")
    # And there is one record
    mark = stack.score(request_body).content["prediction_id"]
    eventually(lambda: stack.archived([mark]), "the last request is through")
    assert stack.logs("card-fraud").count(f"card_{key}") == 0
    (record,) = once_each(stack, again.content["prediction_id"])
    assert json.loads(record)["entity_id"] == f"card_{key}"
