"""The score handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quicksilver.code_release import CHECK
from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = {
    "QUICKSILVER_ENDPOINT": "card-fraud",
    "QUICKSILVER_FEATURES_TABLE": "features",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_PREDICTIONS_STREAM": "predictions",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "QUICKSILVER_SIGNING_KEY": "arn:aws:kms:us-east-1:000000000000:key/1",
    "POWERTOOLS_SERVICE_NAME": "score-card-fraud",
}
run = HandlerProcess("score", SETTINGS)


def test_nothing_heavy_is_imported() -> None:
    done = run()
    assert not done.packages & {
        "lightgbm",
        "numpy",
        "scipy",
        "shap",
        "pandas",
        "sklearn",
        "duckdb",
        "typer",
        "rich",
    }
    assert (
        not {
            "quicksilver.code_release.answering",
            "quicksilver.idempotency",
            "quicksilver.packing",
            "quicksilver.registry",
            "quicksilver.registry_api",
        }
        & done.modules
    )


def test_an_endpoint_with_idempotency_keys_answers_with_everything_unreachable_and_without_boto3() -> None:
    body = json.dumps({"entity_id": "card_1", "features": {"amount": 1}})
    event = {"body": body, "headers": {"Idempotency-Key": "k-1"}, "requestContext": {}}
    done = run(event, QUICKSILVER_IDEMPOTENCY_TABLE="keys")
    assert [answer["statusCode"] for answer in done.answers] == [503]
    assert "quicksilver.aws.dynamodb_idempotency" in done.modules
    assert "boto3" not in done.modules


def test_neither_boto3_nor_botocores_machinery_is_imported() -> None:
    body = json.dumps({"entity_id": "card_1", "features": {"amount": 1}})
    done = run({"body": body, "requestContext": {}})
    heavy = {
        "boto3",
        "urllib3",
        "botocore.session",
        "botocore.client",
        "botocore.auth",
        "botocore.awsrequest",
    }
    assert not heavy & done.modules


def test_with_everything_unreachable_it_still_starts_and_answers_503() -> None:
    body = json.dumps({"entity_id": "card_1", "features": {"amount": 1}})
    done = run({"body": body, "requestContext": {"requestId": "r-9"}}, AWS_LAMBDA_FUNCTION_VERSION="7")
    (answer,) = done.answers
    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["instance"] == "urn:request:r-9"
    (unanswered,) = [line for line in done.logged if "RequestsUnanswered" in line]
    assert (unanswered["function_version"], unanswered["endpoint"]) == ("7", "card-fraud")
    assert unanswered["service"] == "score-card-fraud"


@pytest.mark.parametrize(("name", "value"), [("QUICKSILVER_ENDPOINT", ""), ("QUICKSILVER_DEADLINE_MS", "0")])
def test_a_wrong_setting_stops_it_at_init_and_is_named(name: str, value: str) -> None:
    result = run(**{name: value})
    assert result.returncode != 0
    assert name.removeprefix("QUICKSILVER_").lower() in result.errors.lower()


def test_a_check_is_answered_with_everything_unreachable_and_a_caller_of_the_api_cannot_ask_for_one() -> None:
    check = {"kind": "presence", "route": 0}
    # A body, a header and a query can carry anything; the keys of the event are API Gateway's own.
    request = {"body": json.dumps({CHECK: check}), "headers": {CHECK: "1"}, "requestContext": {}}
    done = run({CHECK: check}, {**request, "path": "/v1/card-fraud/score"})
    answer, refused = done.answers
    assert answer == {"function_version": "7", "route": 0, "notes": [], "golden": None, "rehearsal": None}
    assert refused["statusCode"] in (422, 503)
    assert "boto3" not in done.modules
