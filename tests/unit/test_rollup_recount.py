"""The recount by SQL and the rollup agree on any records, and say so where they do not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.contract import MissingPolicy
from quicksilver.features import Cause, Degraded
from quicksilver.memory import ManualClock, MemoryMetrics, MemoryRollupStore
from quicksilver.prediction import Status
from quicksilver.rollup.fold import Fold
from quicksilver.rollup.recount import differences, recount
from quicksilver.rollup_counts import LATENCY_BOUNDS_US, SCORE_BOUNDS, ArmKey, Period
from quicksilver.routing import Role
from quicksilver.stream_event import StreamRecord
from tests.archives import archive_database, archived
from tests.prediction_records import CANARY, CHAMPION, NOT_LOADED, NOW_MS, entry

LATE = Degraded(feature="amount", cause=Cause.LATE, policy=MissingPolicy.MISSING)

RECORDS = st.fixed_dictionaries(
    {
        "time_ms": st.integers(NOW_MS - 130_000, NOW_MS),
        "score": st.one_of(st.sampled_from((0.0, 1.0, 0.5, *SCORE_BOUNDS)), st.floats(0, 1)),
        "total_us": st.one_of(st.sampled_from((0, *LATENCY_BOUNDS_US)), st.integers(0, 10**9)),
        "assigned": st.sampled_from((CHAMPION, CANARY)),
        "role": st.sampled_from((Role.CHAMPION, Role.CANARY, Role.CHALLENGER)),
        "holdout": st.booleans(),
        "model": st.sampled_from((CHAMPION, CANARY)),
        "status": st.sampled_from(Status),
        "degraded": st.lists(st.sampled_from((NOT_LOADED, LATE)), max_size=3).map(tuple),
    }
)


def rollup(lines: Sequence[bytes]) -> MemoryRollupStore:
    store = MemoryRollupStore()
    Fold(
        store=store,
        clock=ManualClock(NOW_MS),
        metrics=MemoryMetrics(),
        pause=lambda _: None,
        cutoffs={"card-fraud": 0.5, "credit-line": 0.5},
        period_seconds=60,
        keep_days=35,
    ).fold([StreamRecord(str(number), line) for number, line in enumerate(lines)])
    return store


def recounted(lines: Sequence[bytes], since_ms: int = 0, until_ms: int = 2 * NOW_MS) -> list[Period]:
    with tempfile.TemporaryDirectory() as folder:
        archived(Path(folder), "predictions", b"".join(lines))
        with archive_database(Path(folder)) as database:
            return recount(
                lambda sql, parameters: database.query(sql, parameters).records(),
                "card-fraud",
                since_ms=since_ms,
                until_ms=until_ms,
                period_ms=60_000,
                cutoff=0.5,
            )


@settings(max_examples=25, deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=30), repeated=st.lists(st.integers(0, 29), max_size=10))
def test_the_rollup_is_the_recount_of_the_archive(records: list[dict[str, Any]], repeated: list[int]) -> None:
    lines = [entry(number, **content).data for number, content in enumerate(records)]
    lines += [lines[number] for number in repeated if number < len(lines)]
    counted = list(rollup(lines).periods("card-fraud", since_ms=0, until_ms=2 * NOW_MS))
    assert counted == recounted(lines)
    assert differences(counted, recounted(lines)) == []


def test_records_of_schema_2_and_of_other_endpoints_and_times_are_told_apart() -> None:
    old = json.loads(entry(1).data)
    old["schema_version"], old["arm"] = 2, {"role": "champion", "share_bp": 10_000}
    lines = [
        json.dumps(old).encode() + b"\n",
        entry(2, endpoint="credit-line", assigned="credit-line@1").data,
        entry(3, time_ms=NOW_MS - 60_000).data,
    ]
    start_ms = NOW_MS - NOW_MS % 60_000
    (period,) = recounted(lines, since_ms=start_ms, until_ms=start_ms + 60_000)
    assert period.start_ms == start_ms
    assert {key: counts.requests for key, counts in period.arms.items()} == {
        ArmKey(CHAMPION, Role.CHAMPION): 1
    }
    assert [period] == rollup(lines).periods("card-fraud", since_ms=start_ms, until_ms=start_ms + 1)


def test_an_empty_archive_is_no_period() -> None:
    assert recounted([]) == []


@pytest.mark.parametrize("field", ["requests", "errors", "not_loaded", "degraded", "approved"])
def test_a_difference_names_its_period_and_arm(field: str) -> None:
    (period,) = recounted([entry(1, holdout=True).data])
    ((key, counts),) = period.arms.items()
    changed = replace(period, arms={key: replace(counts, **{field: 7})})
    (said,) = differences([changed], [period])
    assert said.startswith("2025-10-09T08:53:00.000Z card-fraud@1 champion holdout: the rollup has ")
    assert f"7 {field.replace('_', ' ')}" in said.partition("the archive")[0]


def test_a_period_that_one_of_them_lacks_is_a_difference() -> None:
    periods = recounted([entry(1).data])
    assert len(differences(periods, [])) == len(differences([], periods)) == 1
    moved = replace(
        periods[0],
        arms={key: replace(counts, scores=counts.scores[::-1]) for key, counts in periods[0].arms.items()},
    )
    assert len(differences([moved], periods)) == 1
