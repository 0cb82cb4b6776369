"""Each record counts once, whatever happens to its batch and between any two calls of the store."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.errors import Unavailable
from quicksilver.instants import utc_iso
from quicksilver.memory import ManualClock, MemoryMetrics, MemoryRollupStore
from quicksilver.metrics import Metric
from quicksilver.prediction import Status
from quicksilver.rollup.fold import Fold, Folded
from quicksilver.rollup_counts import Lane, LaneKey, Period
from quicksilver.routing import Role
from quicksilver.stream_event import StreamRecord
from tests.prediction_records import CANARY, CHAMPION, NOT_LOADED, NOW_MS, entry

T = TypeVar("T")
DAY_MS = 86_400_000


def fold(store: Any, **changes: Any) -> Fold:
    told: dict[str, Any] = {
        "store": store,
        "clock": ManualClock(NOW_MS),
        "metrics": MemoryMetrics(),
        "pause": lambda _: None,
        "cutoffs": {"card-fraud": 0.5, "credit-line": 0.2},
        "period_seconds": 60,
        "keep_days": 35,
        "page_identities": 3,
    }
    return Fold(**{**told, **changes})


def stream(*lines: bytes, first: int = 1) -> list[StreamRecord]:
    return [StreamRecord(str(number), line) for number, line in enumerate(lines, first)]


def all_periods(store: Any, endpoint: str = "card-fraud") -> Sequence[Period]:
    found: Sequence[Period] = store.periods(endpoint, since_ms=0, until_ms=2 * NOW_MS)
    return found


def requests(store: Any) -> int:
    return sum(counts.requests for period in all_periods(store) for counts in period.arms.values())


# --- every order of crashes, rivals and repetitions -------------------------------------------------------------


class Killed(BaseException):
    """Lambda ended the environment: nothing of the consumer's runs after it."""


@dataclass
class Eventful:
    """A store between whose calls things happen, as a script says: one word for each call."""

    store: MemoryRollupStore
    script: list[str]
    rival: Callable[[], None]
    happened: Counter[str] = field(default_factory=Counter)

    def _call(self, call: Callable[[], T]) -> T:
        event = self.script.pop(0) if self.script else "nothing"
        self.happened[event] += 1
        if event == "rival before":
            self.rival()
        elif event == "lost on its way":
            raise Unavailable("lost on its way")
        elif event == "killed before":
            raise Killed
        result = call()
        if event == "answer lost":
            raise Unavailable("answer lost")
        if event == "killed after":
            raise Killed
        if event == "rival after":
            self.rival()
        return result

    def lane(self, key: LaneKey) -> Lane:
        return self._call(lambda: self.store.lane(key))

    def paged(self, key: LaneKey) -> frozenset[bytes]:
        return self._call(lambda: self.store.paged(key))

    def put_page(self, lane: Lane) -> None:
        self._call(lambda: self.store.put_page(lane))

    def put_lane(self, lane: Lane) -> None:
        self._call(lambda: self.store.put_lane(lane))


EVENTS = ("rival before", "rival after", "lost on its way", "answer lost", "killed before", "killed after")

LINES = [
    entry(
        number,
        entity_id=f"card_{number % 3}",
        time_ms=NOW_MS + 45_000 * (number % 7 == 0),
        score=number / 40,
        total_us=60 * number + 50,
        assigned=CANARY if number % 3 == 0 else CHAMPION,
        role=Role.CANARY if number % 3 == 0 else Role.CHAMPION,
        holdout=number % 7 == 1 and number % 3 != 0,
        model=CHAMPION if number % 6 else CANARY if number % 3 == 0 else CHAMPION,
        status=Status.FALLBACK if number % 11 == 0 else Status.SCORED,
        degraded=(NOT_LOADED,) if number % 4 == 1 else (),
    ).data
    for number in range(40)
]


def recount(lines: Sequence[bytes]) -> Counter[tuple[Any, ...]]:
    """The truth, counted plainly: each prediction id once."""
    totals: Counter[tuple[Any, ...]] = Counter()
    for record in {json.loads(line)["prediction_id"]: json.loads(line) for line in lines}.values():
        start = record["time"][:16]
        arm = record["arm"]
        who = (start, arm["model"], arm["role"], arm["holdout"])
        failed = record["model"] != arm["model"] or record["status"] == "fallback"
        totals[*who, "requests"] += 1
        totals[*who, "errors"] += failed
        totals[*who, "approved"] += not failed and record["score"] < 0.5
        totals[*who, "in latency"] += not failed
        totals[*who, "in scores"] += not failed
        for model in {item["model"] for item in record["degraded"] if item.get("cause") == "not_loaded"}:
            totals[start, model, "canary", False, "not_loaded"] += 1
    return +totals


def counted(store: Any) -> Counter[tuple[Any, ...]]:
    totals: Counter[tuple[Any, ...]] = Counter()
    for period in all_periods(store):
        for key, counts in period.arms.items():
            who = (utc_iso(period.start_ms)[:16], key.model, key.role.value, key.holdout)
            for name in ("requests", "errors", "approved", "not_loaded"):
                totals[*who, name] += getattr(counts, name)
            totals[*who, "in latency"] += sum(counts.latency)
            totals[*who, "in scores"] += sum(counts.scores)
    return +totals


BATCHES = st.lists(st.lists(st.integers(0, len(LINES) - 1), min_size=1, max_size=25), min_size=1, max_size=6)
SCRIPTS = st.lists(
    st.lists(st.sampled_from((*EVENTS, "nothing", "nothing")), max_size=12), min_size=1, max_size=8
)


@settings(max_examples=400, deadline=None)
@given(batches=BATCHES, scripts=SCRIPTS, page=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_the_rollup_is_a_recount_after_any_crashes_rivals_and_repetitions(
    batches: list[list[int]], scripts: list[list[str]], page: int, seed: int
) -> None:
    # Given batches with records in common, as retries, redeliveries and shards that split and merge bring them
    raw, chance = MemoryRollupStore(), random.Random(seed)
    waiting = [list(script) for script in scripts]
    pending = list(batches)

    def deliver_one(depth: int = 0) -> None:
        """A batch to a consumer, to which its script happens; for its rivals, the next ones are delivered meanwhile."""
        batch = pending.pop(chance.randrange(len(pending)))

        def rival() -> None:
            if pending and depth < 3:
                deliver_one(depth + 1)

        store = Eventful(raw, waiting.pop() if waiting else [], rival)
        try:
            fold(store, page_identities=page).fold(stream(*(LINES[number] for number in batch)))
        except (Unavailable, Killed):
            # It comes again, and Kinesis may have cut it in two, and a part may come twice.
            middle = len(batch) // 2
            parts = [part for part in (batch[:middle], batch[middle:]) if part]
            pending.extend([batch, *parts[: chance.randrange(3)]] if chance.random() < 0.5 else parts)

    # When each is delivered until it ended well, in any order
    while pending:
        deliver_one()
        # Then at no moment is anything counted twice
        assert counted(raw) <= recount(LINES)
    # And in the end everything delivered is counted once
    assert counted(raw) == recount([LINES[number] for batch in batches for number in batch])


def test_without_conditional_writes_or_without_pages_the_counts_would_be_wrong() -> None:

    class Unconditional(MemoryRollupStore):
        def put_lane(self, lane: Lane) -> None:
            self._lanes[lane.key] = lane

    class Forgetful(MemoryRollupStore):
        def paged(self, key: LaneKey) -> frozenset[bytes]:
            return frozenset()

    same_lane = [entry(number, entity_id="card_1").data for number in range(8)]
    unconditional = Unconditional()

    def rival() -> None:
        fold(unconditional).fold(stream(*same_lane[4:]))

    fold(Eventful(unconditional, ["nothing", "rival before"], rival)).fold(stream(*same_lane[:4]))
    assert requests(unconditional) == 4  # the rival's are lost

    forgetful = Forgetful()
    for batch in (same_lane[:4], same_lane[4:], same_lane[:4]):
        fold(forgetful).fold(stream(*batch))
    assert requests(forgetful) == 12  # four of them twice


# --- one thing at a time ----------------------------------------------------------------------------------------


def test_a_batch_is_counted_and_says_what_became_of_its_records() -> None:
    store = MemoryRollupStore()
    folding = fold(store)
    batch = stream(LINES[0], LINES[1], LINES[0], b"not json")
    assert folding.fold(batch) == Folded(counted=2, repeated=1, unreadable=1, too_late=0)
    assert folding.fold(batch) == Folded(counted=0, repeated=3, unreadable=1, too_late=0)
    assert counted(store) == recount(LINES[:2])


def test_an_unreadable_record_holds_nothing_up_and_only_its_place_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryRollupStore()
    folding = fold(store)
    secret = LINES[1].replace(b'"score":0.025', b'"score":"secret"')
    assert secret != LINES[1]
    with caplog.at_level(logging.ERROR, "quicksilver"):
        folding.fold(stream(secret, LINES[2], first=49))
    assert requests(store) == 1
    (said,) = caplog.records
    assert said.__dict__["sequence_number"] == "49"
    assert said.__dict__["fields"] == ["score: float_parsing"]
    assert "secret" not in str(said.__dict__)
    assert folding.metrics.counts[Metric.ROLLUP_RECORDS_UNREADABLE] == 1  # type: ignore[attr-defined]


def test_a_record_of_an_endpoint_that_the_stage_does_not_have_is_unreadable_here() -> None:
    folding = fold(MemoryRollupStore(), cutoffs={"credit-line": 0.2})
    assert folding.fold(stream(LINES[0])) == Folded(0, 0, 1, 0)


def test_each_endpoint_is_counted_at_its_own_cutoff() -> None:
    store = MemoryRollupStore()
    model = "credit-line@1"
    lines = [
        entry(number, endpoint=endpoint, assigned=assigned, model=assigned, score=0.3).data
        for number, (endpoint, assigned) in enumerate((("card-fraud", CHAMPION), ("credit-line", model)))
    ]
    fold(store).fold(stream(*lines))
    approved = [
        sum(counts.approved for period in all_periods(store, endpoint) for counts in period.arms.values())
        for endpoint in ("card-fraud", "credit-line")
    ]
    assert approved == [1, 0]


@pytest.mark.parametrize(("age_days", "expected"), [(33, Folded(1, 0, 0, 0)), (35, Folded(0, 0, 0, 1))])
def test_a_record_counts_until_a_day_before_its_identity_would_go(age_days: int, expected: Folded) -> None:
    store = MemoryRollupStore()
    folding = fold(store)
    assert folding.fold(stream(entry(time_ms=NOW_MS - age_days * DAY_MS).data)) == expected
    counts = folding.metrics.counts  # type: ignore[attr-defined]
    assert counts.get(Metric.ROLLUP_RECORDS_TOO_LATE, 0) == expected.too_late


def test_the_delay_of_the_log_is_that_of_the_oldest_record_that_is_new() -> None:
    # Given a batch with records of now, of a minute ago and of ten minutes ago
    store = MemoryRollupStore()
    young, older, oldest = (
        entry(number, time_ms=NOW_MS - minutes * 60_000).data for number, minutes in enumerate((0, 1, 10))
    )
    folding = fold(store)
    folding.fold(stream(young, older, oldest))
    assert folding.metrics.counts[Metric.PREDICTION_LOG_DELAY] == 600_000  # type: ignore[attr-defined]
    # When the stream brings the oldest again, with another that is new, then only that one's delay is told
    again = fold(store)
    again.fold(stream(oldest, entry(3, time_ms=NOW_MS - 5_000).data))
    assert again.metrics.counts[Metric.PREDICTION_LOG_DELAY] == 5_000  # type: ignore[attr-defined]
    # And where nothing is new, nothing is told
    known = fold(store)
    known.fold(stream(oldest))
    assert Metric.PREDICTION_LOG_DELAY not in known.metrics.counts  # type: ignore[attr-defined]


def test_what_is_written_expires_with_its_period() -> None:
    store = MemoryRollupStore()
    fold(store, keep_days=10).fold(stream(*(entry(number, entity_id="card_1").data for number in range(5))))
    (lane,) = store._lanes.values()
    assert lane.expires_s == lane.key.start_ms // 1_000 + 10 * 86_400


def test_identities_move_to_pages_and_repetitions_are_known_from_them() -> None:
    store = MemoryRollupStore()
    lines = [entry(number, entity_id="card_1").data for number in range(20)]
    for line in lines:
        fold(store).fold(stream(line))
    (lane,) = store._lanes.values()
    assert len(lane.recent) <= 3
    assert lane.paged == len(store._pages[lane.key]) == 6
    assert fold(store).fold(stream(*lines)) == Folded(0, 20, 0, 0)


def test_a_store_that_does_not_answer_makes_the_batch_come_again() -> None:
    store = MemoryRollupStore()
    store.available = False
    with pytest.raises(Unavailable):
        fold(store).fold(stream(*LINES))
    store.available = True
    fold(store).fold(stream(*LINES))
    assert counted(store) == recount(LINES)


def test_a_lane_that_rivals_never_let_go_of_makes_the_batch_come_again() -> None:
    store = MemoryRollupStore()
    others = iter(range(1_000, 2_000))
    pauses: list[int] = []

    def rival() -> None:
        line = entry(next(others), entity_id="card_1").data
        fold(store, page_identities=1_000).fold(stream(line))

    eventful = Eventful(store, ["nothing", "rival before"] * 50, rival)
    with pytest.raises(Unavailable, match="contended"):
        fold(eventful, pause=pauses.append, page_identities=1_000).fold(
            stream(entry(1, entity_id="card_1").data)
        )
    assert pauses == list(range(1, 9))
    fold(store).fold(stream(entry(1, entity_id="card_1").data))
    assert requests(store) == eventful.happened["rival before"] + 1


def test_nothing_is_read_or_written_for_an_empty_batch() -> None:
    assert fold(None).fold([]) == Folded(0, 0, 0, 0)
