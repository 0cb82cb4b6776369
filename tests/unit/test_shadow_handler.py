"""The shadow handler as Lambda loads it, on the saved event."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quicksilver.stream_event import stream_batch
from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]
EVENT = json.loads((ROOT / "events" / "shadow_card_fraud.json").read_text())

SETTINGS = {
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
}
run = HandlerProcess("shadow", SETTINGS)


def test_the_saved_event_is_a_batch_with_a_name_of_its_own() -> None:
    batch = stream_batch(EVENT)
    assert len(batch.records) == 3
    assert batch.name == f"shardId-000000000000-4954{1:052}-4954{3:052}"
    assert batch.arrived_ms == 1_795_683_600_000


def test_a_batch_of_poison_ends_well_says_so_and_imports_nothing_heavy() -> None:
    done = run({"Records": [EVENT["Records"][2]]})
    assert done.answers == [{"records": 1, "unreadable": 1, "skipped": 0, "scored": 0, "failed": 0}]
    assert not {"boto3", "lightgbm", "numpy", "scipy", "duckdb", "jinja2"} & done.packages
    assert (done.counted["ShadowRecordsUnreadable"], done.counted["service"]) == ([1.0], "shadow")
    assert "not a prediction record" not in done.output + done.errors


def test_a_registry_that_cannot_be_reached_ends_the_run_in_an_error_so_that_the_batch_comes_again() -> None:
    done = run(EVENT)
    assert done.returncode != 0
    assert "quicksilver.errors.Unavailable" in done.errors
    assert "RouteRefreshFailed" in done.output, "what was counted is said all the same"
    assert "card_000042" not in done.output + done.errors


@pytest.mark.parametrize("name", ["QUICKSILVER_STAGE", *SETTINGS])
def test_a_function_that_is_not_configured_does_not_start(name: str) -> None:
    done = run(EVENT, **{name: ""})
    assert done.returncode != 0
    assert "ValidationError" in done.errors
