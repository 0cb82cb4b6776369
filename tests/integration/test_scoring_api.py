"""Through API Gateway on the emulator: a decision, and every kind of bad input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import urllib3

from quicksilver.aws.api import ApiClient
from tests.local_stack import eventually

if TYPE_CHECKING:
    from quicksilver.aws.api import ApiAnswer
    from tests.conftest import Trained
    from tests.local_stack import LocalStack

Body = dict[str, Any]

INTERNALS = ("Traceback", 'File "', "quicksilver.", "/opt/", "botocore", "pydantic", "arn:aws")


def assert_problem(answer: ApiAnswer, status: int, *fields: str) -> None:
    assert answer.status == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.content["status"] == status
    assert answer.content.keys() >= {"type", "title", "detail"}
    assert [item["field"] for item in answer.content.get("errors", ())] == list(fields)
    assert all(item["reason"] for item in answer.content.get("errors", ()))
    text = json.dumps(answer.content)
    assert not [word for word in INTERNALS if word in text]


def test_a_decision_is_scored_explained_and_archived_once(
    stack: LocalStack, request_body: Body, trained: Trained
) -> None:
    answer = stack.score(request_body)
    assert answer.status == 200, answer.content
    vector = np.array([[812.5, 1.0, 1.0, 3.0, 55.5, 0.07]])
    assert answer.content["raw_score"] == trained.booster.predict(vector, raw_score=True)[0]
    assert answer.content["degraded"] == []
    assert answer.content["reasons"]
    (record,) = eventually(
        lambda: stack.archived([answer.content["prediction_id"]]), "the record is archived"
    )
    assert record["vector"] == vector[0].tolist()
    assert {name: record[name] for name in ("score", "raw_score", "model", "route", "entity_id")} == {
        name: answer.content[name] for name in ("score", "raw_score", "model", "route", "entity_id")
    }


@pytest.mark.parametrize("body", ["", "{", "amount=3", '{"entity_id": "card_1",}', "\x00"])
def test_a_body_that_is_not_json(stack: LocalStack, body: str) -> None:
    assert_problem(stack.score(body), 400, "(body)")


@pytest.mark.parametrize("body", ["[]", "7", '"x"', "null"])
def test_a_body_that_is_not_an_object(stack: LocalStack, body: str) -> None:
    assert_problem(stack.score(body), 400, "(body)")


def test_an_unknown_endpoint(stack: LocalStack, request_body: Body) -> None:
    assert_problem(stack.score(request_body, endpoint="no-such"), 404, "endpoint")


def test_a_missing_entity(stack: LocalStack, request_body: Body) -> None:
    del request_body["entity_id"]
    assert_problem(stack.score(request_body), 422, "entity_id")


@pytest.mark.parametrize(
    ("name", "value"), [("amount", "12"), ("cross_border", 1), ("channel", 4), ("amount", {})]
)
def test_a_value_of_the_wrong_type(stack: LocalStack, request_body: Body, name: str, value: object) -> None:
    request_body["features"][name] = value
    assert_problem(stack.score(request_body), 422, f"features.{name}")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_is_not_finite(stack: LocalStack, request_body: Body, number: str) -> None:
    assert_problem(stack.score(json.dumps(request_body).replace("812.5", number)), 422, "features.amount")


def test_an_unknown_feature(stack: LocalStack, request_body: Body) -> None:
    request_body["features"]["colour"] = "red"
    assert_problem(stack.score(request_body), 422, "features.colour")


def test_an_unknown_category_follows_the_contract_and_is_named(stack: LocalStack, request_body: Body) -> None:
    request_body["features"]["channel"] = "telepathy"
    answer = stack.score(request_body)
    assert answer.status == 200
    assert answer.content["degraded"] == [
        {"feature": "channel", "cause": "unseen_category", "policy": "missing"}
    ]


def test_seven_megabytes(stack: LocalStack, request_body: Body) -> None:
    request_body["features"]["channel"] = "x" * 7_000_000
    assert_problem(stack.score(request_body), 413, "(body)")


def test_an_entity_unknown_to_the_store_is_referred_and_named(stack: LocalStack, request_body: Body) -> None:
    answer = stack.score({**request_body, "entity_id": "card_unknown"})
    assert (answer.status, answer.content["status"]) == (200, "refer")
    assert {(item["feature"], item["cause"]) for item in answer.content["degraded"]} == {
        ("txn_count_1h", "unknown_key"),
        ("amount_mean_7d", "unknown_key"),
    }


def test_a_request_without_a_signature_is_a_problem_too(stack: LocalStack) -> None:
    response = urllib3.request("POST", f"{stack.api_url}/v1/card-fraud/score", body=b"{}", retries=False)
    assert (response.status, response.headers["Content-Type"]) == (403, "application/problem+json")
    assert json.loads(response.data)["status"] == 403


def test_a_request_with_a_wrong_api_key_is_a_problem_too(stack: LocalStack, request_body: Body) -> None:
    session = stack.session
    client = ApiClient(stack.api_url, session.get_credentials(), session.region_name, api_key="wrong")
    assert_problem(client.score("card-fraud", request_body), 403)


def test_a_path_that_is_not_there_is_a_problem_too(stack: LocalStack) -> None:
    assert_problem(stack.api.post("/v2/anything", b"{}"), 403)


def test_payloads_and_entities_never_reach_the_log(stack: LocalStack, request_body: Body) -> None:
    secret = "card_4111111111111111"
    stack.score({**request_body, "entity_id": secret})
    stack.score({**request_body, "features": {"amount": secret}})
    stack.score({**request_body, secret: 1})
    mark = stack.score({**request_body, "entity_id": "card_1"}).content["prediction_id"]
    eventually(lambda: stack.archived([mark]), "the last request is through")
    assert secret not in stack.logs("card-fraud")
