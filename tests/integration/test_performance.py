"""Labels on the emulator: decisions are scored, their outcomes posted, and both meet in the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.aws.system import SystemClock
from quicksilver.cli.archive import Engine
from quicksilver.cli.performance_report import read
from quicksilver.instants import utc_iso
from quicksilver.labelled import DAY_MS
from quicksilver.reports.performance_page import render_performance
from tests.local_stack import eventually

if TYPE_CHECKING:
    from quicksilver.reports.performance import PerformanceReport
    from tests.local_stack import LocalStack

PATH = "/v1/card-fraud/outcomes"


def tomorrow(stack: LocalStack) -> PerformanceReport:
    """The report as it will be when today is over."""
    now_ms = SystemClock().now_ms() + 2 * DAY_MS
    return read(stack, "card-fraud", Engine.DUCKDB, now_ms=now_ms, since_ms=None, until_ms=None)


def test_outcomes_are_posted_and_met_with_their_predictions_in_the_report(
    stack: LocalStack, request_body: dict[str, Any]
) -> None:
    # Given decisions that are in the archive, some of entities whose labels will name no prediction
    entities = [f"performance_{number}" for number in range(6)]
    answers = [stack.score({**request_body, "entity_id": entity}).content for entity in entities]
    ids = [answer["prediction_id"] for answer in answers]
    records = eventually(
        lambda: len(found := stack.archived(ids)) >= len(ids) and found, "the predictions are archived"
    )
    before = tomorrow(stack)
    latest = max(record["time"] for record in records)
    # When their labels are posted, one of them for nobody, and again
    outcomes = [
        *({"prediction_id": id, "label": place == 0, "time": latest} for place, id in enumerate(ids[:4])),
        *(
            {
                "entity_id": entity,
                "event_time": latest,
                "label": False,
                "time": latest,
                "groups": {"sex": "male"},
            }
            for entity in entities[4:]
        ),
        {"prediction_id": f"nobody-{ids[0]}", "label": True, "time": latest},
    ]
    body = json.dumps({"outcomes": outcomes}).encode()
    answered = stack.api.post(PATH, body)
    assert (answered.status, answered.content) == (200, {"outcomes": 7, "bad": 2})
    assert stack.api.post(PATH, body).content == answered.content
    # Then all but that one are joined, once
    after = tomorrow(stack)
    assert after.labelled - before.labelled == 6
    assert after.coverage.outcomes - before.coverage.outcomes == 7
    assert after.coverage.unknown_by_id - before.coverage.unknown_by_id == 1
    bad = [sum(week.answered.binned.bad for week in report.weeks) for report in (before, after)]
    assert bad[1] - bad[0] == 1
    page = render_performance(after)
    assert "of a prediction id that no prediction since" in page
    assert "performance_5" not in page


def test_a_request_that_is_not_valid_leaves_nothing_and_an_unknown_endpoint_is_none(
    stack: LocalStack,
) -> None:
    before = tomorrow(stack)
    good = {"prediction_id": "p", "label": True, "time": utc_iso(SystemClock().now_ms())}
    bad = {"prediction_id": "q", "label": "maybe", "time": "2100-01-01T00:00:00Z"}
    refused = stack.api.post(PATH, json.dumps({"outcomes": [good, bad]}).encode())
    assert refused.status == 422
    assert [error["field"] for error in refused.content["errors"]] == ["outcomes.1.label"]
    assert tomorrow(stack).coverage.outcomes == before.coverage.outcomes
    unknown = stack.api.post("/v1/card-frod/outcomes", json.dumps({"outcomes": [good]}).encode())
    assert (unknown.status, unknown.content["errors"][0]["field"]) == (404, "endpoint")


@pytest.mark.parametrize("again", [False, True])
def test_the_function_judges_every_endpoint_and_fails_at_none(stack: LocalStack, again: bool) -> None:
    said = stack.invoke(stack.function("performance"), {})
    assert set(said) == {"card-fraud", "credit-line"}
    assert [text for text in said.values() if "failed" in text] == []
