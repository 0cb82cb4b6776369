"""The rollup handler as Lambda loads it, and the saved event that is replayed on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quicksilver.memory import ManualClock, MemoryMetrics, MemoryRollupStore
from quicksilver.rollup_fold import Fold, Folded
from quicksilver.stream_event import stream_records

ROOT = Path(__file__).resolve().parents[2]
EVENT = json.loads((ROOT / "events" / "rollup_card_fraud.json").read_text())

ENVIRONMENT = {
    "QUICKSILVER_STAGE": "test",
    "QUICKSILVER_ROLLUP_TABLE": "rollup",
    "QUICKSILVER_CUTOFFS": '{"card-fraud":0.5}',
    "POWERTOOLS_SERVICE_NAME": "rollup",
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
print(json.dumps({"answer": handler.lambda_handler(json.loads(sys.argv[2]), None)}))
"""


def run(event: object, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(ROOT / "lambdas" / "rollup"), json.dumps(event)]
    return subprocess.run(command, env={**ENVIRONMENT, **changes}, capture_output=True, text=True, timeout=60)


def test_the_saved_event_is_two_records_one_of_them_twice_and_one_that_is_none() -> None:
    folded = Fold(
        store=MemoryRollupStore(),
        clock=ManualClock(1_795_441_600_000),
        metrics=MemoryMetrics(),
        pause=lambda _: None,
        cutoffs={"card-fraud": 0.5},
        period_seconds=60,
        keep_days=35,
    ).fold(stream_records(EVENT))
    assert folded == Folded(counted=2, repeated=1, unreadable=1, too_late=0)


def test_a_batch_that_holds_nothing_to_count_ends_well_and_says_what_it_left_out() -> None:
    poison = {"Records": [EVENT["Records"][3]]}
    done = run(poison)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1] == {"answer": {"counted": 0, "repeated": 0, "unreadable": 1, "too_late": 0}}
    (error,) = [line for line in lines if line.get("level") == "ERROR"]
    assert error["sequence_number"] == poison["Records"][0]["kinesis"]["sequenceNumber"]
    (metrics,) = [line for line in lines if "_aws" in line]
    assert metrics["RollupRecordsUnreadable"] == [1.0]
    assert metrics["service"] == "rollup"
    assert "not a prediction record" not in done.stdout + done.stderr


def test_a_store_that_cannot_be_reached_ends_the_run_in_an_error_so_that_the_batch_comes_again() -> None:
    done = run({"Records": EVENT["Records"][:2]})
    assert done.returncode != 0
    assert "quicksilver.errors.Unavailable: The rollup's table cannot be reached" in done.stderr
    assert "card_000042" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUICKSILVER_CUTOFFS", "{}"),
        ("QUICKSILVER_CUTOFFS", '{"card-fraud":1.5}'),
        ("QUICKSILVER_ROLLUP_TABLE", ""),
        ("QUICKSILVER_ROLLUP_PERIOD_SECONDS", "0"),
        ("QUICKSILVER_ROLLUP_KEEP_DAYS", "7"),
    ],
)
def test_a_function_that_is_not_configured_does_not_start(name: str, value: str) -> None:
    done = run({"Records": []}, **{name: value})
    assert done.returncode != 0
    assert "ValidationError" in done.stderr
