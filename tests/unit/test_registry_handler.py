"""The registry handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]

POLICY = {"endpoint": "card-fraud", "version": 1, "cutoff": 0.5}
SETTINGS = {
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "QUICKSILVER_SIGNING_KEY": "key",
    "QUICKSILVER_POLICIES": json.dumps({"card-fraud": POLICY}),
}
run = HandlerProcess("registry", SETTINGS)


def request(who: str | None) -> dict[str, Any]:
    return {
        "httpMethod": "GET",
        "path": "/v1/registry/card-fraud/route",
        "requestContext": {"requestId": "r-9", "identity": {"userArn": who}},
    }


def test_nothing_heavy_is_imported() -> None:
    assert not run().packages & {
        "lightgbm",
        "numpy",
        "scipy",
        "shap",
        "pandas",
        "sklearn",
        "duckdb",
        "jinja2",
    }


def test_with_everything_unreachable_it_still_starts_and_answers_503() -> None:
    (answer,) = run(request("arn:aws:iam::000000000000:user/ada")).answers
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "1")
    assert json.loads(answer["body"])["instance"] == "urn:request:r-9"


def test_a_request_without_an_identity_is_refused_before_anything_is_read() -> None:
    (answer,) = run(request(None)).answers
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
    assert name.removeprefix("QUICKSILVER_").lower() in result.errors.lower()
