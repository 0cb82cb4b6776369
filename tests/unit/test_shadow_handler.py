"""The shadow handler as Lambda loads it, on the saved event."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quicksilver.stream_batch import stream_batch

ROOT = Path(__file__).resolve().parents[2]
EVENT = json.loads((ROOT / "events" / "shadow_card_fraud.json").read_text())

ENVIRONMENT = {
    "QUICKSILVER_STAGE": "test",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "POWERTOOLS_SERVICE_NAME": "shadow",
    "POWERTOOLS_METRICS_NAMESPACE": "Quicksilver",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    # Nobody listens on port 9 (discard), so every AWS call is refused at once.
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_EC2_METADATA_DISABLED": "true",
}

SCRIPT = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
handler = importlib.import_module("handler")
answer = handler.lambda_handler(json.loads(sys.argv[2]), None)
print(json.dumps({"answer": answer, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def run(event: object, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(ROOT / "lambdas" / "shadow"), json.dumps(event)]
    return subprocess.run(command, env={**ENVIRONMENT, **changes}, capture_output=True, text=True, timeout=60)


def test_the_saved_event_is_a_batch_with_a_name_of_its_own() -> None:
    batch = stream_batch(EVENT)
    assert len(batch.records) == 3
    assert batch.name == f"shardId-000000000000-4954{1:052}-4954{3:052}"
    assert batch.arrived_ms == 1_795_683_600_000


def test_a_batch_of_poison_ends_well_says_so_and_imports_nothing_heavy() -> None:
    done = run({"Records": [EVENT["Records"][2]]})
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["answer"] == {"records": 1, "unreadable": 1, "skipped": 0, "scored": 0, "failed": 0}
    assert not {"boto3", "lightgbm", "numpy", "scipy", "duckdb", "jinja2"} & {*lines[-1]["modules"]}
    (metrics,) = [line for line in lines if "_aws" in line]
    assert (metrics["ShadowRecordsUnreadable"], metrics["service"]) == ([1.0], "shadow")
    assert "not a prediction record" not in done.stdout + done.stderr


def test_a_registry_that_cannot_be_reached_ends_the_run_in_an_error_so_that_the_batch_comes_again() -> None:
    done = run(EVENT)
    assert done.returncode != 0
    assert "quicksilver.errors.Unavailable" in done.stderr
    assert "RouteRefreshFailed" in done.stdout, "what was counted is said all the same"
    assert "card_000042" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name in ENVIRONMENT if name.startswith("QUICKSILVER_")])
def test_a_function_that_is_not_configured_does_not_start(name: str) -> None:
    done = run(EVENT, **{name: ""})
    assert done.returncode != 0
    assert "ValidationError" in done.stderr
