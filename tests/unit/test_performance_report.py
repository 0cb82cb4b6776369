"""The performance report: its numbers by week and arm, what it says of labels, and the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quicksilver.instants import utc_iso
from quicksilver.labelled import DAY_MS
from quicksilver.outcomes import Outcome
from quicksilver.reports.performance import WEEK_MS, PerformanceReport, read_report, week_of
from quicksilver.reports.performance_page import render_performance
from quicksilver.routing import Role
from tests.labelled_traffic import ENDPOINT, START_MS, policy, traffic
from tests.prediction_records import CANARY, CHAMPION, prediction_record
from tests.written_archive import WrittenArchive


def reported(archive: WrittenArchive, days: float, **changes: Any) -> PerformanceReport:
    given: dict[str, Any] = {"now_ms": START_MS + round(days * DAY_MS), "reference_auc": lambda _: 0.82}
    return read_report(archive, policy(), 0.5, **{**given, **changes})


@pytest.fixture(scope="module")
def full() -> PerformanceReport:
    """Twelve days of a champion, eight of a canary that does not rank, and some labels that count for nothing."""
    predictions, outcomes = traffic(12)
    spoilt, of_spoilt = traffic(8, 60, model=CANARY, works=False, seed=9)
    for record, outcome in zip(spoilt, of_spoilt, strict=True):
        arm = record.arm.model_copy(update={"role": Role.CANARY})
        id = f"c{record.prediction_id}"
        predictions.append(record.model_copy(update={"prediction_id": id, "entity_id": f"x{id}", "arm": arm}))
        outcomes.append(outcome.model_copy(update={"prediction_id": id}))
    time = utc_iso(START_MS + 2 * DAY_MS)
    outcomes = [outcome for outcome in outcomes if outcome.prediction_id != "p1700"]
    outcomes += [
        Outcome(prediction_id="nobody", label=True, time=time),
        Outcome(entity_id="nobody", event_time=time, label=True, time=time),
        Outcome(prediction_id="p1700", label=True, time=time),
    ]
    archive = WrittenArchive(predictions, {ENDPOINT: outcomes}, broken=[b"no record\n"])
    return reported(archive, 12.5)


def test_weeks_begin_on_mondays() -> None:
    monday = week_of(START_MS)
    assert utc_iso(monday) == "2024-09-30T00:00:00.000Z"
    assert (week_of(monday), week_of(monday - 1), week_of(monday + WEEK_MS)) == (
        monday,
        monday - WEEK_MS,
        monday + WEEK_MS,
    )


def test_each_arm_has_a_row_a_week_with_what_was_estimated_and_realised(full: PerformanceReport) -> None:
    rows = {(week.start_ms - week_of(START_MS), week.model, week.role): week for week in full.weeks}
    assert set(rows) == {
        (0, CHAMPION, "champion"),
        (0, CANARY, "canary"),
        (WEEK_MS, CHAMPION, "champion"),
        (WEEK_MS, CANARY, "canary"),
        (2 * WEEK_MS, CHAMPION, "champion"),
    }
    champion = rows[0, CHAMPION, "champion"]
    assert (champion.answered.predictions, champion.labelled) == (3 * 150, 3 * 150)
    assert champion.ripeness == 1.0
    assert champion.realised is not None
    assert champion.realised.metrics.auc == pytest.approx(champion.estimated_auc, abs=0.05)
    spoilt = rows[0, CANARY, "canary"]
    assert spoilt.realised is not None
    assert spoilt.realised.metrics.auc == pytest.approx(0.5, abs=0.1)


def test_what_was_degraded_is_said_first(full: PerformanceReport) -> None:
    assert {window.model for window in full.degraded} == {CANARY}
    assert full.sentence.startswith(
        f"{len(full.degraded)} of {len(full.judged)} judged windows show degradation"
    )
    error = full.error_of_estimates()
    assert error is not None
    assert 0 < error < 0.2


def test_labels_that_count_for_nothing_are_said_on_the_page(full: PerformanceReport) -> None:
    assert (full.coverage.unknown_by_id, full.coverage.unknown_by_entity, full.coverage.early) == (1, 1, 1)
    page = render_performance(full)
    for words in (
        "Some outcomes count for nothing",
        "of a prediction id that no prediction since",
        "in the 30 days before the event",
        "known before their prediction was made",
        "1 objects of the archive could not be read",
        "have a label",
        "In the end 100.0% of the predictions have a label",
    ):
        assert words in page


def test_the_page_stands_alone_and_is_the_same_again(full: PerformanceReport) -> None:
    page = render_performance(full)
    assert page == render_performance(full)
    assert page.count("data:image/svg+xml") == 3
    for outside in ("http://", "https://", "<script", 'src="/'):
        assert outside not in page


def test_no_entity_no_group_and_no_prediction_is_on_the_page_or_in_the_json(full: PerformanceReport) -> None:
    content = json.dumps(full.content(), allow_nan=False)
    for text in (render_performance(full), content):
        assert "card_1" not in text
        assert "p1700" not in text


def test_the_json_has_the_weeks_the_windows_and_the_curve(full: PerformanceReport) -> None:
    content = full.content()
    assert len(content["weeks"]) == 5
    assert {"auc", "ks", "brier", "calibration", "estimated_auc", "ripeness", "labelled"} <= set(
        content["weeks"][0]
    )
    assert content["maturity"]["known"][0] == 0.0
    assert content["windows"][0]["endpoint"] == ENDPOINT
    assert content["skipped_objects"] == 1


def test_a_span_of_its_own_shows_its_windows_and_takes_the_curve_from_all() -> None:
    predictions, outcomes = traffic(10)
    archive = WrittenArchive(predictions, {ENDPOINT: outcomes})
    day = START_MS + 8 * DAY_MS
    found = reported(archive, 10.5, since_ms=day + 5, until_ms=day + DAY_MS)
    assert [window.window.start_ms for window in found.windows] == [day]
    assert found.predictions == 150
    assert found.curve.ever == 1.0
    assert found.windows[0].ripe


def test_before_any_label_the_report_says_what_is_expected() -> None:
    predictions, _ = traffic(2)
    found = reported(WrittenArchive(predictions, {ENDPOINT: []}), 2.5)
    assert "has labels enough to be judged; AUC of about 0.7" in found.sentence
    assert found.error_of_estimates() is None
    page = render_performance(found)
    assert "There is no label yet." in page
    assert "how many labels will come is not known yet" in page
    assert "Nothing is judged yet" in page


def test_an_endpoint_without_predictions_says_so() -> None:
    found = reported(WrittenArchive(), 2.5)
    assert found.sentence == "card-fraud made no predictions in this time."
    assert "There are no predictions." in render_performance(found)
    assert found.content()["weeks"] == []


def test_one_prediction_is_a_report_too() -> None:
    record = prediction_record(1, time_ms=START_MS)
    found = reported(WrittenArchive([record], {ENDPOINT: []}), 2.5)
    assert found.windows[0].estimated.brier == pytest.approx(0.25 * 0.75, abs=1e-6)
    assert render_performance(found)


def test_declined_applicants_without_labels_are_said_to_select() -> None:
    predictions, outcomes = traffic(6)
    approved = {record.prediction_id for record in predictions if record.score < 0.5}
    labels = [outcome for outcome in outcomes if outcome.prediction_id in approved]
    found = reported(WrittenArchive(predictions, {ENDPOINT: labels}), 8)
    assert (found.selection.approved, found.selection.declined) == (1.0, 0.0)
    assert "Declined applicants leave next to no outcome" in render_performance(found)
