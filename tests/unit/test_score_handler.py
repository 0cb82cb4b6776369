"""The score handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ENVIRONMENT = {
    "QUICKSILVER_STAGE": "test",
    "QUICKSILVER_ENDPOINT": "card-fraud",
    "QUICKSILVER_FEATURES_TABLE": "features",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_PREDICTIONS_STREAM": "predictions",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "QUICKSILVER_SIGNING_KEY": "arn:aws:kms:us-east-1:000000000000:key/1",
    "POWERTOOLS_SERVICE_NAME": "score-card-fraud",
    "POWERTOOLS_METRICS_NAMESPACE": "Quicksilver",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Nobody listens on port 9 (discard), so every AWS call is refused at once.
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_EC2_METADATA_DISABLED": "true",
}

SCRIPT = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
handler = importlib.import_module("handler")
context = type("Context", (), {"function_version": "7"})()
answers = [handler.lambda_handler(json.loads(event), context) for event in sys.argv[2:]]
print(json.dumps({"modules": sorted(sys.modules), "answers": answers}))
"""


def run(*events: dict[str, object], **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(ROOT / "lambdas" / "score"), *map(json.dumps, events)]
    return subprocess.run(command, env={**ENVIRONMENT, **changes}, capture_output=True, text=True, timeout=60)


def test_nothing_heavy_is_imported() -> None:
    result = json.loads(run().stdout.splitlines()[-1])
    loaded = {name.partition(".")[0] for name in result["modules"]}
    assert not loaded & {"lightgbm", "numpy", "scipy", "shap", "pandas", "sklearn", "duckdb", "typer", "rich"}
    assert not {
        "quicksilver.idempotency",
        "quicksilver.packing",
        "quicksilver.registry",
        "quicksilver.registry_api",
    } & {*result["modules"]}


def test_an_endpoint_with_idempotency_keys_answers_with_everything_unreachable_and_without_boto3() -> None:
    body = json.dumps({"entity_id": "card_1", "features": {"amount": 1}})
    event = {"body": body, "headers": {"Idempotency-Key": "k-1"}, "requestContext": {}}
    result = json.loads(run(event, QUICKSILVER_IDEMPOTENCY_TABLE="keys").stdout.splitlines()[-1])
    assert [answer["statusCode"] for answer in result["answers"]] == [503]
    assert "quicksilver.aws.dynamodb_idempotency" in result["modules"]
    assert "boto3" not in result["modules"]


def test_neither_boto3_nor_botocores_machinery_is_imported() -> None:
    body = json.dumps({"entity_id": "card_1", "features": {"amount": 1}})
    result = json.loads(run({"body": body, "requestContext": {}}).stdout.splitlines()[-1])
    heavy = {
        "boto3",
        "urllib3",
        "botocore.session",
        "botocore.client",
        "botocore.auth",
        "botocore.awsrequest",
    }
    assert not heavy & {*result["modules"]}


def test_with_everything_unreachable_it_still_starts_and_answers_503() -> None:
    body = json.dumps({"entity_id": "card_1", "features": {"amount": 1}})
    output = run(
        {"body": body, "requestContext": {"requestId": "r-9"}}, AWS_LAMBDA_FUNCTION_VERSION="7"
    ).stdout
    *logged, last = map(json.loads, output.splitlines())
    (answer,) = last["answers"]
    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["instance"] == "urn:request:r-9"
    (unanswered,) = [line for line in logged if "RequestsUnanswered" in line]
    assert (unanswered["function_version"], unanswered["endpoint"]) == ("7", "card-fraud")
    assert unanswered["service"] == "score-card-fraud"


@pytest.mark.parametrize(("name", "value"), [("QUICKSILVER_ENDPOINT", ""), ("QUICKSILVER_DEADLINE_MS", "0")])
def test_a_wrong_setting_stops_it_at_init_and_is_named(name: str, value: str) -> None:
    result = run(**{name: value})
    assert result.returncode != 0
    assert name.removeprefix("QUICKSILVER_").lower() in result.stderr.lower()
