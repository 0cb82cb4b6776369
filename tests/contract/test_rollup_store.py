"""What every store of the rollup promises, run on each of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from quicksilver.aws.system import pause
from quicksilver.errors import Conflict, Unavailable
from quicksilver.memory import ManualClock, MemoryMetrics
from quicksilver.ports import RollupStore
from quicksilver.rollup.fold import Fold
from quicksilver.rollup.record import count, read_record
from quicksilver.rollup_counts import LANES, ArmCounts, ArmKey, Lane, LaneKey, Period
from quicksilver.routing import Role
from quicksilver.stream_event import StreamRecord
from tests.prediction_records import CANARY, CHAMPION, NOT_LOADED, NOW_MS, entry

MINUTE_MS = 60_000
START_MS = NOW_MS - NOW_MS % MINUTE_MS
KEY = LaneKey("card-fraud", START_MS, 3)
ARMS = count(
    [
        read_record(line.data)
        for line in (
            entry(1, score=0.001, total_us=90),
            entry(2, score=0.999, total_us=10**9, degraded=(NOT_LOADED,)),
            entry(3, assigned=CANARY, role=Role.CANARY, model=CHAMPION),
            entry(4, holdout=True),
        )
    ],
    cutoff=0.5,
)
IDENTITIES = frozenset({bytes(10), b"\xff" * 10, b"0123456789"})
FIRST = Lane(KEY, version=1, arms=ARMS, recent=IDENTITIES, paged=0, expires_s=1_800_000_000)


def all_periods(store: RollupStore, endpoint: str = "card-fraud") -> list[Period]:
    return list(store.periods(endpoint, since_ms=0, until_ms=2 * NOW_MS))


def test_a_lane_that_nobody_has_written_is_empty_and_in_no_period(rollup_store: RollupStore) -> None:
    assert rollup_store.lane(KEY) == Lane(KEY)
    assert rollup_store.paged(KEY) == frozenset()
    assert all_periods(rollup_store) == []


def test_a_lane_comes_back_as_it_was_written(rollup_store: RollupStore) -> None:
    rollup_store.put_lane(FIRST)
    assert rollup_store.lane(KEY) == FIRST
    second = replace(FIRST, version=2, arms={}, recent=frozenset(), paged=1)
    rollup_store.put_lane(second)
    assert rollup_store.lane(KEY) == second


@pytest.mark.parametrize("version", [1, 2, 4, 9])
def test_a_lane_is_written_only_in_the_place_of_the_version_before(
    rollup_store: RollupStore, version: int
) -> None:
    for number in (1, 2):
        rollup_store.put_lane(replace(FIRST, version=number))
    with pytest.raises(Conflict):
        rollup_store.put_lane(replace(FIRST, version=version, arms={}))
    assert rollup_store.lane(KEY) == replace(FIRST, version=2)


def test_a_lane_that_is_not_there_has_no_second_version(rollup_store: RollupStore) -> None:
    with pytest.raises(Conflict):
        rollup_store.put_lane(replace(FIRST, version=2))
    assert rollup_store.lane(KEY) == Lane(KEY)


def test_of_twenty_writers_of_one_version_one_gets_through(rollup_store: RollupStore) -> None:
    def write(number: int) -> int | None:
        try:
            rollup_store.put_lane(replace(FIRST, recent=frozenset({number.to_bytes(10)})))
        except Conflict:
            return None
        return number

    with ThreadPoolExecutor(20) as pool:
        through = [number for number in pool.map(write, range(20)) if number is not None]
    assert len(through) == 1
    assert rollup_store.lane(KEY).recent == {through[0].to_bytes(10)}


def test_pages_add_up_and_the_same_page_may_be_put_twice(rollup_store: RollupStore) -> None:
    for version in (1, 1, 4):
        rollup_store.put_page(replace(FIRST, version=version, recent=frozenset({version.to_bytes(10)})))
    assert rollup_store.paged(KEY) == {(1).to_bytes(10), (4).to_bytes(10)}
    assert rollup_store.lane(KEY) == Lane(KEY)
    assert all_periods(rollup_store) == []


def test_more_pages_than_one_answer_of_dynamodb_holds(rollup_store: RollupStore) -> None:
    pages = [frozenset(os.urandom(10) for _ in range(20_000)) for _ in range(7)]  # 1.4 MB; a query gives 1 MB
    for version, recent in enumerate(pages, 1):
        rollup_store.put_page(replace(FIRST, version=version, recent=recent))
    assert rollup_store.paged(KEY) == frozenset().union(*pages)


@pytest.mark.parametrize(
    "other",
    [
        KEY._replace(endpoint="card"),
        KEY._replace(endpoint="card-fraud-2"),
        KEY._replace(start_ms=START_MS + MINUTE_MS),
        KEY._replace(start_ms=START_MS + 1_000),
        KEY._replace(lane=4),
    ],
)
def test_lanes_share_nothing(rollup_store: RollupStore, other: LaneKey) -> None:
    rollup_store.put_lane(FIRST)
    rollup_store.put_page(FIRST)
    assert rollup_store.lane(other) == Lane(other)
    assert rollup_store.paged(other) == frozenset()


def test_a_period_is_what_its_lanes_add_up_to(rollup_store: RollupStore) -> None:
    for lane in range(LANES):
        rollup_store.put_lane(replace(FIRST, key=KEY._replace(lane=lane)))
    (period,) = all_periods(rollup_store)
    assert period.start_ms == START_MS
    assert set(period.arms) == set(ARMS)
    for key, counts in ARMS.items():
        assert period.arms[key].requests == LANES * counts.requests
        assert period.arms[key].latency == tuple(LANES * number for number in counts.latency)
        assert period.arms[key].scores == tuple(LANES * number for number in counts.scores)
    assert period.not_loaded(CANARY) == LANES
    assert all_periods(rollup_store, "credit-line") == []


def test_periods_are_those_that_start_in_the_interval_by_time(rollup_store: RollupStore) -> None:
    arms = {ArmKey(CHAMPION, Role.CHAMPION): ArmCounts(requests=1)}
    for number in (2, 0, 1):
        key = LaneKey("card-fraud", START_MS + number * MINUTE_MS, number)
        rollup_store.put_lane(Lane(key, 1, arms, IDENTITIES))

    def starts(since: int, until: int) -> list[int]:
        found = rollup_store.periods("card-fraud", since_ms=START_MS + since, until_ms=START_MS + until)
        return [(period.start_ms - START_MS) // MINUTE_MS for period in found]

    assert starts(0, 10 * MINUTE_MS) == [0, 1, 2]
    assert starts(0, 2 * MINUTE_MS) == [0, 1]
    assert starts(1, 2 * MINUTE_MS + 1) == [1, 2]
    assert starts(MINUTE_MS, MINUTE_MS) == []
    assert starts(MINUTE_MS, 0) == []


def test_a_day_of_minutes_is_read_whole(rollup_store: RollupStore) -> None:
    arms = {ArmKey(CHAMPION, Role.CHAMPION): ArmCounts(requests=1)}
    recent = frozenset(os.urandom(10) for _ in range(1_000))
    for number in range(150):  # 1.5 MB; a query reads 1 MB at a time
        rollup_store.put_lane(Lane(LaneKey("card-fraud", START_MS + number * MINUTE_MS, 0), 1, arms, recent))
    assert len(all_periods(rollup_store)) == 150


def test_consumers_at_once_count_each_record_once(rollup_store: RollupStore) -> None:
    lines = [entry(number, entity_id=f"card_{number % 3}").data for number in range(60)]

    def consume(first: int) -> int:
        # Each has half of the records in common with the next one, and tells nobody.
        batch = [StreamRecord(str(number), lines[number % 60]) for number in range(first, first + 20)]
        fold = Fold(
            store=rollup_store,
            clock=ManualClock(NOW_MS),
            metrics=MemoryMetrics(),
            pause=pause,
            cutoffs={"card-fraud": 0.5},
            period_seconds=60,
            keep_days=35,
            page_identities=4,
        )
        while True:
            try:
                return fold.fold(batch).counted
            except Unavailable:
                continue  # contended: Kinesis would bring it again

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(consume, range(0, 60, 10)))
    (period,) = all_periods(rollup_store)
    assert sum(counts.requests for counts in period.arms.values()) == 60
