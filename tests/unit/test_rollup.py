"""What the rollup counts of a record, and into which bins."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from quicksilver.contract import MissingPolicy
from quicksilver.errors import InvalidInput
from quicksilver.fallback import DegradedModel, ModelCause, ModelPolicy
from quicksilver.features import Cause, Degraded
from quicksilver.prediction import Status
from quicksilver.rollup.record import count, read_record
from quicksilver.rollup_counts import (
    LANES,
    LATENCY_BINS,
    LATENCY_BOUNDS_US,
    SCORE_BINS,
    ArmCounts,
    ArmKey,
    latency_bin,
    merged,
    not_loaded_key,
    periods,
    score_bin,
)
from quicksilver.routing import Role
from tests.prediction_records import CANARY, CHAMPION, NOT_LOADED, NOW_MS, entry, prediction_record

LATE = Degraded(feature="amount", cause=Cause.LATE, policy=MissingPolicy.MISSING)


def counts_of(**changes: Any) -> dict[ArmKey, ArmCounts]:
    return count([read_record(entry(**changes).data)], cutoff=0.5)


def changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(entry().data), **changes}).encode()


@given(st.integers(min_value=0, max_value=10**10))
def test_a_latencys_bin_is_a_quarter_of_a_doubling_from_100_us(latency_us: int) -> None:
    expected = 0 if latency_us <= 100 else min(LATENCY_BINS - 1, math.floor(4 * math.log2(latency_us / 100)))
    assert latency_bin(latency_us) == expected


def test_whole_doublings_begin_a_bin() -> None:
    assert [latency_bin(us) for us in (99, 100, 199, 200, 399, 400)] == [0, 0, 3, 4, 7, 8]
    assert len(LATENCY_BOUNDS_US) == LATENCY_BINS - 1
    assert list(LATENCY_BOUNDS_US) == sorted(set(LATENCY_BOUNDS_US))


@given(st.floats(min_value=-9.9, max_value=9.9).filter(lambda x: abs(x * 4 - round(x * 4)) > 1e-6))
def test_a_scores_bin_is_a_quarter_of_log_odds_from_minus_8(log_odds: float) -> None:
    expected = min(SCORE_BINS - 1, max(0, math.floor((log_odds + 8) * 4)))
    assert score_bin(1 / (1 + math.exp(-log_odds))) == expected


def test_scores_at_and_beyond_the_ends_are_in_the_open_bins() -> None:
    assert [score_bin(score) for score in (-3.0, 0.0, 0.5, 1.0, 7.0)] == [0, 0, 32, 63, 63]


def test_an_answer_by_the_assigned_arm_counts_in_everything() -> None:
    (counts,) = counts_of(score=0.25, total_us=900, degraded=(LATE,)).values()
    assert (counts.requests, counts.errors, counts.degraded, counts.approved) == (1, 0, 1, 1)
    assert counts.latency[latency_bin(900)] == sum(counts.latency) == 1
    assert counts.scores[score_bin(0.25)] == sum(counts.scores) == 1


def test_a_score_at_the_cutoff_is_not_approved() -> None:
    assert [counts_of(score=score)[ArmKey(CHAMPION, Role.CHAMPION)].approved for score in (0.4999, 0.5)] == [
        1,
        0,
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"assigned": CANARY, "role": Role.CANARY, "model": CHAMPION},
        {"assigned": CANARY, "role": Role.CANARY, "status": Status.FALLBACK},
    ],
)
def test_what_the_arm_did_not_answer_is_its_error_and_in_nothing_else(changes: dict[str, Any]) -> None:
    assert counts_of(**changes, degraded=(LATE,)) == {
        ArmKey(CANARY, Role.CANARY): ArmCounts(requests=1, errors=1)
    }


def test_the_holdouts_counts_are_apart() -> None:
    assert set(counts_of(holdout=True)) == {ArmKey(CHAMPION, Role.CHAMPION, True)}


def test_a_model_that_could_not_be_loaded_is_counted_once_an_answer_and_costs_the_answer_nothing() -> None:
    found = counts_of(degraded=(NOT_LOADED, NOT_LOADED))
    assert found.pop(not_loaded_key(CANARY)) == ArmCounts(not_loaded=1)
    (counts,) = found.values()
    assert (counts.requests, counts.errors, counts.degraded, counts.not_loaded) == (1, 0, 0, 0)
    (period,) = periods([(0, counts_of(degraded=(NOT_LOADED,))), (0, counts_of(degraded=(NOT_LOADED,)))])
    assert (period.not_loaded(CANARY), period.not_loaded(CHAMPION)) == (2, 0)


def test_an_answer_by_an_old_route_is_not_a_models_failure_to_load() -> None:
    note = DegradedModel(model=CANARY, cause=ModelCause.OUTDATED, policy=ModelPolicy.LAST_GOOD)
    assert not_loaded_key(CANARY) not in counts_of(degraded=(note,))


def test_counts_add_up_by_arm_and_leave_what_they_are_made_of_alone() -> None:
    one, other = counts_of(), counts_of(assigned=CANARY, role=Role.CANARY)
    together = merged(one, other, one)
    assert together[ArmKey(CHAMPION, Role.CHAMPION)].requests == 2
    assert together[ArmKey(CANARY, Role.CANARY)].requests == 1
    assert one[ArmKey(CHAMPION, Role.CHAMPION)].requests == 1


def test_a_record_is_of_the_period_of_its_own_time_and_of_its_entitys_lane() -> None:
    lanes = {read_record(entry(number).data).lane(60) for number in range(500)}
    assert {lane.start_ms for lane in lanes} == {NOW_MS - NOW_MS % 60_000}
    assert {lane.lane for lane in lanes} == set(range(LANES))
    assert read_record(entry(time_ms=59_999).data).lane(60).start_ms == 0
    assert read_record(entry(time_ms=60_000).data).lane(60).start_ms == 60_000
    assert read_record(entry(time_ms=60_000).data).lane(5).start_ms == 60_000


def test_lanes_are_ranges_of_the_hash_that_kinesis_takes() -> None:
    for number in range(50):
        hash_key = int(hashlib.md5(f"card_{number}".encode(), usedforsecurity=False).hexdigest(), 16)
        assert read_record(entry(number).data).lane(60).lane == hash_key // (2**128 // LANES)


def test_records_of_one_moment_have_identities_of_their_own_and_each_delivery_has_the_same() -> None:
    identities = [read_record(entry(number).data).identity for number in range(100)]
    assert len({*identities}) == 100
    assert {len(identity) for identity in identities} == {10}
    assert identities[7] == read_record(entry(7).data).identity


def test_a_record_of_schema_2_counts_for_the_model_that_answered() -> None:
    content = json.loads(entry().data)
    content["schema_version"] = 2
    content["arm"] = {"role": "champion", "share_bp": 10_000}
    assert read_record(json.dumps(content).encode()) == read_record(entry().data)


def test_fields_of_a_later_schema_are_passed_over() -> None:
    content = json.loads(entry().data)
    later = changed(
        schema_version=9,
        colour="blue",
        arm={**content["arm"], "colour": 1},
        timings={"total_us": 900, "x": "y"},
    )
    assert read_record(later) == read_record(entry().data)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "(record)"),
        (b"{", "(record)"),
        (b"\xff\xfe", "(record)"),
        (b"[]", "(record)"),
        (changed(prediction_id="not a uuid"), "prediction_id"),
        (changed(score=None), "score"),
        (entry().data.replace(b'"score":0.25', b'"score":NaN'), "score"),
        (changed(time="2026-11-26T13:45:00.000"), "time"),
        (changed(endpoint="Card Fraud"), "endpoint"),
        (changed(model="card-fraud"), "model"),
        (changed(arm={"role": "emperor"}), "arm.role"),
        (changed(timings={"total_us": -1}), "timings.total_us"),
        (changed(degraded=[{}]), "degraded.0.cause"),
    ],
)
def test_what_is_no_prediction_record_is_refused_naming_the_field_and_no_value(
    data: bytes, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_record(data)
    assert [item.field for item in refused.value.fields] == [field]
    assert "emperor" not in f"{refused.value} {refused.value.fields}"


def test_a_record_as_it_is_written_is_read() -> None:
    record = prediction_record(3, score=0.75, total_us=1_234)
    read = read_record(record.to_entry().data)
    assert (read.endpoint, read.entity_id, read.time_ms) == ("card-fraud", "card_3", NOW_MS)
    assert (read.score, read.latency_us) == (0.75, 1_234)
