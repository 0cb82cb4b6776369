"""The deployed drift function: predictions that were scored and archived are judged, and the document and its page are there."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quicksilver.archive import PREDICTIONS, hour_folder
from quicksilver.drift.result import WindowResult
from quicksilver.drift.windows import DAY_MS
from quicksilver.instants import utc_iso
from quicksilver.monitoring import Kind, Window, read_document
from tests.local_stack import eventually

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

ROOT = Path(__file__).resolve().parents[2]
TICK = json.loads((ROOT / "events" / "drift_tick.json").read_text())
ENDPOINT = "card-fraud"
ROWS = 20
COPIES = 10


def scored(stack: LocalStack, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Score, and have the records as the stream left them in the archive."""
    now_ms = time.time_ns() // 1_000_000
    answers = [stack.score({**body, "entity_id": f"drift_{now_ms}_{number}"}) for number in range(ROWS)]
    assert {answer.status for answer in answers} == {200}
    ids = [answer.content["prediction_id"] for answer in answers]

    def archived() -> list[dict[str, Any]]:
        found = {record["prediction_id"]: record for record in stack.archived(ids)}
        return list(found.values()) if len(found) == ROWS else []

    return eventually(archived, "every record is archived")


def test_what_was_scored_is_judged_by_the_function_with_its_document_and_its_page(
    stack: LocalStack, request_body: dict[str, Any]
) -> None:
    # Given what was scored now, moved to the last whole day: its window is over
    records = scored(stack, request_body)
    now_ms = time.time_ns() // 1_000_000
    end_ms = now_ms // DAY_MS * DAY_MS
    if now_ms - end_ms < 20 * 60_000:
        end_ms -= DAY_MS  # it has not settled yet
    window = Window(start_ms=end_ms - DAY_MS, end_ms=end_ms)
    before = read_document(stack.monitoring, Kind.DRIFT, ENDPOINT, window.name, WindowResult)
    # As many as are judged, each of another entity: copies of one request would be one observation and no alarm.
    moved = [
        {
            **record,
            "time": utc_iso(window.start_ms + 60_000 * number),
            "prediction_id": f"{record['prediction_id']}-{number}",
            "entity_id": f"card_{number}",
        }
        for number, record in enumerate(records * COPIES)
    ]
    stack.client("s3").put_object(
        Bucket=stack.outputs["ArchiveBucket"],
        Key=f"{PREDICTIONS.folder(ENDPOINT)}{hour_folder(window.start_ms)}drift-{now_ms}.jsonl",
        Body="".join(json.dumps(record) + "\n" for record in moved).encode(),
    )
    # When the schedule runs the function
    said = stack.invoke(stack.function("drift"), TICK)
    # Then they are counted, by their model's own reference profile
    assert "failed" not in said[ENDPOINT], said
    result = read_document(stack.monitoring, Kind.DRIFT, ENDPOINT, window.name, WindowResult)
    assert result is not None
    assert result.revision == (before.revision + 1 if before else 1)
    assert result.counts.archived == len(moved) + (before.counts.archived if before else 0)
    assert sum(arm.rows for arm in result.counts.arms) == result.counts.archived
    assert not result.counts.unprofiled
    assert result.alarms, "nothing that a model was trained on is so many times the same"
    page = stack.monitoring.get(Kind.REPORT, ENDPOINT, window.name) or b""
    assert page.startswith(b"<!DOCTYPE html>") or b"<html" in page[:200]
    # And a second run finds nothing to do there
    stack.invoke(stack.function("drift"), TICK)
    again = read_document(stack.monitoring, Kind.DRIFT, ENDPOINT, window.name, WindowResult)
    assert again == result
