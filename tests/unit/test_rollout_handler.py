"""The rollout handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ENVIRONMENT = {
    "QUICKSILVER_STAGE": "test",
    "QUICKSILVER_ENDPOINTS": '["card-fraud", "credit-line"]',
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_REGISTRY_API_URL": "https://abc.execute-api.us-east-1.amazonaws.com/test/",
    "QUICKSILVER_ROLLUP_TABLE": "rollup",
    "QUICKSILVER_ANNOUNCEMENTS_TABLE": "announcements",
    "QUICKSILVER_EVENT_BUS": "default",
    "QUICKSILVER_TOPIC": "arn:aws:sns:us-east-1:000000000000:announcements",
    "POWERTOOLS_SERVICE_NAME": "rollout",
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
result = handler.lambda_handler(json.loads(sys.argv[2]), None)
print(json.dumps({"modules": sorted(sys.modules), "result": result}))
"""

TICK = (ROOT / "events" / "rollout_tick.json").read_text()


def run(**changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(ROOT / "lambdas" / "rollout"), TICK]
    return subprocess.run(command, env={**ENVIRONMENT, **changes}, capture_output=True, text=True, timeout=60)


def test_with_everything_unreachable_it_says_so_for_each_endpoint_counts_it_and_does_not_fail() -> None:
    result = run()
    assert result.returncode == 0, result.stderr
    *logged, answer = [json.loads(line) for line in result.stdout.splitlines()]
    assert set(answer["result"]) == {"card-fraud", "credit-line"}
    assert all(
        said.startswith("failed: The registry cannot be reached") for said in answer["result"].values()
    )
    (counted,) = [line for line in logged if "_aws" in line]
    assert counted["RolloutLookFailed"] == [1, 1]
    assert counted["AnnouncementsFailed"] == [1, 1]
    assert "RolloutLooks" not in counted


def test_nothing_heavy_is_imported() -> None:
    loaded = {name.partition(".")[0] for name in json.loads(run().stdout.splitlines()[-1])["modules"]}
    assert not loaded & {"lightgbm", "numpy", "scipy", "shap", "pandas", "sklearn", "duckdb", "jinja2"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("QUICKSILVER_ENDPOINTS", "[]"), ("QUICKSILVER_ENDPOINTS", '["Card"]'), ("QUICKSILVER_TOPIC", "")],
)
def test_a_wrong_setting_stops_it_at_init_and_is_named(name: str, value: str) -> None:
    result = run(**{name: value})
    assert result.returncode != 0
    assert name.removeprefix("QUICKSILVER_").lower() in result.stderr.lower()
