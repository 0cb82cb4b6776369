"""The rollup handler as Lambda loads it, and the saved event that is replayed on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quicksilver.memory import ManualClock, MemoryMetrics, MemoryRollupStore
from quicksilver.rollup.fold import Fold, Folded
from quicksilver.stream_event import stream_records
from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]
EVENT = json.loads((ROOT / "events" / "rollup_card_fraud.json").read_text())

SETTINGS = {
    "QUICKSILVER_ROLLUP_TABLE": "rollup",
    "QUICKSILVER_CUTOFFS": '{"card-fraud":0.5}',
}
run = HandlerProcess("rollup", SETTINGS)


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
    assert done.answers == [{"counted": 0, "repeated": 0, "unreadable": 1, "too_late": 0}]
    (error,) = [line for line in done.logged if line.get("level") == "ERROR"]
    assert error["sequence_number"] == poison["Records"][0]["kinesis"]["sequenceNumber"]
    assert done.counted["RollupRecordsUnreadable"] == [1.0]
    assert done.counted["service"] == "rollup"
    assert "not a prediction record" not in done.output + done.errors


def test_a_store_that_cannot_be_reached_ends_the_run_in_an_error_so_that_the_batch_comes_again() -> None:
    done = run({"Records": EVENT["Records"][:2]})
    assert done.returncode != 0
    assert "quicksilver.errors.Unavailable: The rollup's table cannot be reached" in done.errors
    assert "card_000042" not in done.output + done.errors


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
    assert "ValidationError" in done.errors
