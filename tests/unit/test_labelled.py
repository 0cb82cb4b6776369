"""Which outcome counts for which prediction, and what the counts of a question are, on the archive's own tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import expit

from quicksilver.instants import utc_iso
from quicksilver.labelled import DAY_MS, labelled
from quicksilver.outcomes import Outcome
from quicksilver.performance.counts import BAD, GOOD, UNLABELLED, Arrival, Group, Question
from quicksilver.prediction import PredictionRecord, Status
from quicksilver.query import Span
from quicksilver.routing import Role
from tests.prediction_records import CANARY, CHAMPION, prediction_record
from tests.written_archive import WrittenArchive

START_MS = 20_000 * DAY_MS
NOW_MS = START_MS + 10 * DAY_MS
ENDPOINT = "card-fraud"
HOUR_MS = DAY_MS // 24


def prediction(number: int, at_ms: int, entity: str = "card", **changes: Any) -> PredictionRecord:
    return prediction_record(
        number, time_ms=START_MS + at_ms, prediction_id=f"p{number}", entity_id=entity, **changes
    )


def by_id(number: int, at_ms: int, *, label: bool = True, **changes: Any) -> Outcome:
    return Outcome(prediction_id=f"p{number}", label=label, time=utc_iso(START_MS + at_ms), **changes)


def by_entity(event_ms: int, at_ms: int, *, entity: str = "card", label: bool = True) -> Outcome:
    times = {"event_time": utc_iso(START_MS + event_ms), "time": utc_iso(START_MS + at_ms)}
    return Outcome(entity_id=entity, label=label, **times)


def counting(archive: WrittenArchive, *, days: int = 10, match_days: int = 3) -> Mapping[str, Any]:
    """The labels that count, by prediction."""
    text = labelled(ENDPOINT, Span(START_MS, START_MS + days * DAY_MS), now_ms=NOW_MS, match_days=match_days)
    with archive.open(["predictions", "outcomes"]) as opened:
        rows = opened.query(f"{text} SELECT prediction_id, label FROM labelled ORDER BY 1").rows  # noqa: S608
    return dict(rows)


def archive_of(
    predictions: list[PredictionRecord], outcomes: list[Outcome], **others: list[Outcome]
) -> WrittenArchive:
    named = {name.replace("_", "-"): given for name, given in others.items()}
    return WrittenArchive(predictions, {ENDPOINT: outcomes, **named})


def test_an_outcome_by_id_counts_for_its_prediction_alone() -> None:
    archive = archive_of([prediction(1, 0), prediction(2, 0)], [by_id(1, HOUR_MS)])
    assert counting(archive) == {"p1": True, "p2": None}


def test_an_event_belongs_to_the_entitys_latest_prediction_before_it_within_the_days() -> None:
    predictions = [
        prediction(1, 0),
        prediction(2, DAY_MS),
        prediction(3, 2 * DAY_MS),
        prediction(4, 0, "other"),
    ]
    archive = archive_of(predictions, [by_entity(DAY_MS + HOUR_MS, 3 * DAY_MS)])
    assert counting(archive) == {"p1": None, "p2": True, "p3": None, "p4": None}


@pytest.mark.parametrize(
    ("event_ms", "counts"),
    [(DAY_MS - 1, False), (DAY_MS, True), (4 * DAY_MS, True), (4 * DAY_MS + 1, False)],
)
def test_the_days_are_bounds_of_both_ends(event_ms: int, counts: bool) -> None:
    archive = archive_of([prediction(1, DAY_MS)], [by_entity(event_ms, 5 * DAY_MS)])
    assert counting(archive, match_days=3) == {"p1": True if counts else None}


def test_a_prediction_after_the_span_takes_the_event_that_is_its_own() -> None:
    archive = archive_of([prediction(1, 0), prediction(2, 2 * DAY_MS)], [by_entity(2 * DAY_MS, 3 * DAY_MS)])
    assert counting(archive, days=1) == {"p1": None}
    assert counting(archive) == {"p1": None, "p2": True}


def test_an_entity_of_another_endpoint_is_another_entity() -> None:
    archive = archive_of([prediction(1, 0)], [], credit_line=[by_entity(HOUR_MS, DAY_MS)])
    assert counting(archive) == {"p1": None}


def test_the_latest_label_counts_whichever_way_it_names_the_prediction() -> None:
    earlier, later = by_id(1, DAY_MS, label=True), by_entity(HOUR_MS, 2 * DAY_MS, label=False)
    assert counting(archive_of([prediction(1, 0)], [later, earlier])) == {"p1": False}


def test_of_two_that_contradict_each_other_at_one_time_the_bad_one_counts() -> None:
    contradicting = [by_id(1, DAY_MS, label=False), by_entity(HOUR_MS, DAY_MS, label=True)]
    assert counting(archive_of([prediction(1, 0)], contradicting)) == {"p1": True}


def test_a_label_before_its_prediction_or_in_the_future_counts_for_nothing() -> None:
    outcomes = [by_id(1, HOUR_MS - 1), by_id(2, 10 * DAY_MS + 1), by_id(3, 10 * DAY_MS)]
    predictions = [prediction(number, HOUR_MS, f"card_{number}") for number in (1, 2, 3)]
    assert counting(archive_of(predictions, outcomes)) == {"p1": None, "p2": None, "p3": True}


def test_further_columns_and_groups_are_there_for_who_asks() -> None:
    archive = archive_of(
        [prediction(1, 0, vector=(0.5, None))], [by_id(1, DAY_MS, groups={"age_band": "30-39"})]
    )
    text = labelled(
        ENDPOINT, Span(START_MS, NOW_MS), now_ms=NOW_MS, match_days=1, columns=("vector", "fingerprint")
    )
    with archive.open(["predictions", "outcomes"]) as opened:
        ((vector, fingerprint, groups),) = opened.query(
            f"{text} SELECT vector, fingerprint, groups FROM labelled"  # noqa: S608
        ).rows
    assert (list(vector), fingerprint, dict(groups)) == ([0.5, None], "b" * 64, {"age_band": "30-39"})


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=8, unique=True),
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 9), st.integers(0, 9), st.booleans()),
        max_size=8,
        # What one moment says of one event twice is refused at the door where it contradicts itself.
        unique_by=lambda row: row[:3],
    ),
)
def test_the_sql_says_what_the_rule_says(
    asked: list[tuple[int, int]], known: list[tuple[int, int, int, bool]]
) -> None:
    predictions = [
        prediction(number, at * DAY_MS, f"card_{entity}") for number, (entity, at) in enumerate(asked)
    ]
    outcomes = []
    expected: dict[str, Any] = {f"p{number}": None for number in range(len(asked))}
    best: dict[int, tuple[int, bool]] = {}
    for entity, event, wait, label in known:
        # In half hours, so that none is known later than now, and all at different times.
        at_ms = event * DAY_MS + wait * HOUR_MS // 2
        outcomes.append(by_entity(event * DAY_MS, at_ms, entity=f"card_{entity}", label=label))
        before = [(at, number) for number, (who, at) in enumerate(asked) if who == entity and at <= event]
        if before and event - max(before)[0] <= 3:
            number = max(before)[1]
            best[number] = max(best.get(number, (-1, False)), (at_ms, label))
            expected[f"p{number}"] = best[number][1]
    assert counting(archive_of(predictions, outcomes)) == expected


# -- counts --


def question(**changes: Any) -> Question:
    content = {
        "endpoint": ENDPOINT, "span": Span(START_MS, START_MS + 3 * DAY_MS), "window_ms": DAY_MS, "now_ms": NOW_MS,
        "match_days": 3, "cutoff": 0.5,
    }  # fmt: skip
    return Question(**{**content, **changes})


def test_predictions_are_counted_by_window_model_role_and_bin() -> None:
    predictions = [
        prediction(1, 0, "a", score=0.2),
        prediction(2, HOUR_MS, "b", score=0.2),
        prediction(3, HOUR_MS, "c", score=0.9),
        prediction(4, DAY_MS, "d", score=0.7, assigned=CANARY, role=Role.CANARY),
        prediction(5, DAY_MS, "e", score=0.1, status=Status.FALLBACK, raw_score=None),
        prediction(6, 3 * DAY_MS, "f", score=0.1),
        prediction(7, -1, "g", score=0.1),
        prediction(1, 0, "a", score=0.2),
    ]
    outcomes = [by_id(1, DAY_MS, label=False), by_id(3, DAY_MS), by_id(5, 2 * DAY_MS), by_id(6, 4 * DAY_MS)]
    with archive_of(predictions, outcomes).open(["predictions", "outcomes"]) as opened:
        found = question().answered(opened)
    assert set(found) == {Group(START_MS, CHAMPION, "champion"), Group(START_MS + DAY_MS, CANARY, "canary")}
    champion = found[Group(START_MS, CHAMPION, "champion")]
    assert (champion.approved, champion.approved_labelled) == (2, 1)
    assert (champion.declined, champion.declined_labelled) == (1, 1)
    counts = champion.binned
    assert counts.rows[:, 0].tolist() == [1, 1, 0]
    assert counts.rows[:, 1].tolist() == [0, 0, 1]
    assert counts.mean_score == pytest.approx([0.2, 0.9], abs=1e-9)
    assert (UNLABELLED, GOOD, BAD) == (0, 1, 2)
    assert counts.square[GOOD, 0] == pytest.approx(0.04, abs=1e-9)


def test_the_cutoff_is_taken_to_its_last_digit() -> None:
    cutoff = 0.123456789012345
    predictions = [prediction(1, 0, "a", score=cutoff), prediction(2, 0, "b", score=cutoff - 1e-15)]
    with archive_of(predictions, []).open(["predictions", "outcomes"]) as opened:
        ((_, answered),) = question(cutoff=cutoff).answered(opened).items()
    assert (answered.approved, answered.declined) == (1, 1)


def test_bins_rise_with_the_scores_from_one_end_to_the_other() -> None:
    scores = [0.0, *expit(np.linspace(-18, 18, 40)).tolist(), 1.0]
    predictions = [
        prediction(number, number, f"card_{number}", score=score) for number, score in enumerate(scores)
    ]
    with archive_of(predictions, []).open(["predictions", "outcomes"]) as opened:
        ((_, answered),) = question().answered(opened).items()
    assert answered.binned.mean_score == pytest.approx(sorted(scores), abs=1e-9)


def test_labels_arrive_by_the_age_of_their_prediction() -> None:
    predictions = [prediction(number, number * 12 * HOUR_MS, f"card_{number}") for number in range(4)]
    outcomes = [by_id(0, DAY_MS - 1), by_id(1, 12 * HOUR_MS + DAY_MS), by_id(2, DAY_MS)]
    with archive_of(predictions, outcomes).open(["predictions", "outcomes"]) as opened:
        found = question().arrivals(opened)
    assert found == [
        Arrival(START_MS, 9, 1, 1),
        Arrival(START_MS, 10, 0, 1),
        Arrival(START_MS + DAY_MS, 8, None, 1),
        Arrival(START_MS + DAY_MS, 9, 0, 1),
    ]


def test_outcomes_that_count_for_nothing_are_counted_themselves() -> None:
    predictions = [prediction(1, DAY_MS, "a"), prediction(2, DAY_MS, "b")]
    outcomes = [
        by_id(1, DAY_MS + 1),
        by_id(9, 2 * DAY_MS),  # of no prediction
        by_entity(2 * DAY_MS, 2 * DAY_MS, entity="nobody"),
        by_entity(0, 2 * DAY_MS, entity="a"),  # before any prediction of the entity
        by_id(2, DAY_MS - 1),  # known before its prediction
        by_id(8, 20 * DAY_MS),  # in the future, of no prediction
        by_entity(DAY_MS, DAY_MS + 1, entity="a", label=False),  # contradicts the first
    ]
    with archive_of(predictions, outcomes, credit_line=[by_id(7, 2 * DAY_MS)]).open(
        ["predictions", "outcomes"]
    ) as opened:
        found = question().coverage(opened, Span(START_MS, NOW_MS))
        assert found.faults
        assert not question().coverage(opened, Span(START_MS - DAY_MS, START_MS)).outcomes
    assert (found.outcomes, found.unknown_by_id, found.unknown_by_entity) == (6, 1, 2)
    assert (found.early, found.future, found.contradicting, found.since_ms) == (1, 1, 1, START_MS)
