"""The registry handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

POLICY = {"endpoint": "card-fraud", "version": 1, "cutoff": 0.5}
ENVIRONMENT = {
    "QUICKSILVER_STAGE": "test",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_SIGNING_KEY": "key",
    "QUICKSILVER_POLICIES": json.dumps({"card-fraud": POLICY}),
    "POWERTOOLS_SERVICE_NAME": "registry",
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
answers = [handler.lambda_handler(json.loads(event), None) for event in sys.argv[2:]]
print(json.dumps({"modules": sorted(sys.modules), "answers": answers}))
"""


def run(*events: dict[str, Any], **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(ROOT / "lambdas" / "registry"), *map(json.dumps, events)]
    return subprocess.run(command, env={**ENVIRONMENT, **changes}, capture_output=True, text=True, timeout=60)


def request(who: str | None) -> dict[str, Any]:
    return {
        "httpMethod": "GET",
        "path": "/v1/registry/card-fraud/route",
        "requestContext": {"requestId": "r-9", "identity": {"userArn": who}},
    }


def test_nothing_heavy_is_imported() -> None:
    result = json.loads(run().stdout.splitlines()[-1])
    loaded = {name.partition(".")[0] for name in result["modules"]}
    assert not loaded & {"lightgbm", "numpy", "scipy", "shap", "pandas", "sklearn", "duckdb", "jinja2"}


def test_with_everything_unreachable_it_still_starts_and_answers_503() -> None:
    output = run(request("arn:aws:iam::000000000000:user/ada")).stdout
    (answer,) = json.loads(output.splitlines()[-1])["answers"]
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "1")
    assert json.loads(answer["body"])["instance"] == "urn:request:r-9"


def test_a_request_without_an_identity_is_refused_before_anything_is_read() -> None:
    output = run(request(None)).stdout
    (answer,) = json.loads(output.splitlines()[-1])["answers"]
    assert answer["statusCode"] == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUICKSILVER_SIGNING_KEY", ""),
        ("QUICKSILVER_POLICIES", "{}"),
        ("QUICKSILVER_POLICIES", json.dumps({"card-fraud": {**POLICY, "cutoff": 2}})),
    ],
)
def test_a_wrong_setting_stops_it_at_init_and_is_named(name: str, value: str) -> None:
    result = run(**{name: value})
    assert result.returncode != 0
    assert name.removeprefix("QUICKSILVER_").lower() in result.stderr.lower()
