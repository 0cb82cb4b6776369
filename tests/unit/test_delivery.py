"""No record is lost: stream, store and environment may each fail, and each record ends up on the stream."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from quicksilver.delivery import MAX_PENDING, PredictionLog, Redelivery, batches, redeliver
from quicksilver.errors import InvalidInput, LogFull
from quicksilver.memory import MemoryMetrics, MemoryPredictionStream, MemoryUndeliveredStore
from quicksilver.ports import LogEntry


def entry(number: int, size: int = 10) -> LogEntry:
    return LogEntry(f"{number:08d}", f"card_{number}", b"x" * size + b"\n")


class Ways:
    """A log with both of its ways out."""

    def __init__(self, *, before_response: bool = False) -> None:
        self.stream, self.store, self.metrics = (
            MemoryPredictionStream(),
            MemoryUndeliveredStore(),
            MemoryMetrics(),
        )
        self.log = PredictionLog(
            "card-fraud", self.stream, self.store, self.metrics, before_response=before_response
        )


def test_what_the_stream_takes_is_forgotten() -> None:
    ways = Ways()
    ways.log.add([entry(1)])
    ways.log.flush()
    ways.log.flush()
    assert ways.stream.entries == [entry(1)]
    assert ways.metrics.counts == {}


def test_what_the_stream_refuses_is_kept_and_counted() -> None:
    ways = Ways()
    ways.stream.refusing = frozenset({entry(2).prediction_id})
    for number in (1, 2, 3):
        ways.log.add([entry(number)])
    ways.log.flush()
    assert ways.stream.entries == [entry(1), entry(3)]
    assert list(ways.store.kept.values()) == [(entry(2),)]
    assert ways.metrics.counts == {"PredictionsUndelivered": 1}
    assert ways.log.pending == 0


def test_what_neither_takes_stays_pending_and_goes_out_with_the_next_flush() -> None:
    ways = Ways()
    ways.stream.refusing, ways.store.available = True, False
    ways.log.add([entry(1)])
    ways.log.flush()
    assert ways.log.pending == 1
    assert ways.metrics.counts["PredictionsPending"] == 1
    ways.stream.refusing = False
    ways.log.flush()
    assert (ways.stream.entries, ways.log.pending) == ([entry(1)], 0)


def test_a_record_that_is_out_when_the_environment_ends_needs_nothing_more() -> None:
    ways = Ways()
    ways.log.add([entry(1)])
    ways.log.flush()
    ways.log.drain()
    assert (ways.stream.entries, ways.store.kept, ways.metrics.counts) == ([entry(1)], {}, {})


def test_at_the_environments_end_a_stream_that_hangs_is_left_for_the_store() -> None:
    ways, released = Ways(), threading.Event()

    class Hanging:
        def put(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
            released.wait(10)
            return ()

    log = PredictionLog("card-fraud", Hanging(), ways.store, ways.metrics)
    for number in (1, 2):
        log.add([entry(number)])
    log.drain()
    released.set()
    assert sorted(record for batch in ways.store.kept.values() for record in batch) == [entry(1), entry(2)]


def test_what_nothing_takes_at_the_end_is_counted_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    ways = Ways()
    ways.stream.refusing, ways.store.available = True, False
    ways.log.add([entry(1)])
    ways.log.drain()
    assert ways.metrics.counts["PredictionsLost"] == 1
    assert "records lost" in caplog.text


def test_an_environment_that_ends_takes_no_record_behind_its_last_delivery() -> None:
    ways = Ways()
    ways.log.add([entry(1)])
    ways.log.drain()
    # A request that was under way: its decision is not given.
    assert ways.log.add([entry(2)]) == [entry(2)]
    assert ways.stream.entries == [entry(1)]


def test_a_record_added_during_a_delivery_goes_out_with_the_next_and_none_goes_twice() -> None:
    ways = Ways()

    class Slow(MemoryPredictionStream):
        """Is given another record while it takes one."""

        def put(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
            if not self.entries:
                log.add([entry(2)])
            return super().put(entries)

    stream = Slow()
    log = PredictionLog("card-fraud", stream, ways.store, ways.metrics)
    log.add([entry(1)])
    log.flush()
    assert (stream.entries, log.pending) == ([entry(1)], 1)
    log.flush()
    assert (stream.entries, log.pending) == ([entry(1), entry(2)], 0)


@pytest.mark.parametrize("refusing", [False, True])
def test_with_threads_that_add_and_flush_at_once_every_record_goes_out_once(refusing: bool) -> None:
    ways = Ways()
    ways.stream.refusing = refusing
    threads, each = 4, 200

    def add_and_flush(first: int) -> None:
        for number in range(first, first + each):
            ways.log.add([entry(number)])
            ways.log.flush()

    running = [threading.Thread(target=add_and_flush, args=(n * each,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(30)
    ways.log.flush()
    kept = [record for batch in ways.store.kept.values() for record in batch]
    assert sorted([*ways.stream.entries, *kept]) == [entry(number) for number in range(threads * each)]


def test_logged_before_the_response_a_record_is_out_when_it_is_added() -> None:
    ways = Ways(before_response=True)
    ways.log.add([entry(1)])
    ways.stream.refusing = True
    ways.log.add([entry(2)])
    assert ways.stream.entries == [entry(1)]
    assert list(ways.store.kept.values()) == [(entry(2),)]
    assert ways.log.pending == 0


def test_logged_before_the_response_a_record_that_nothing_takes_is_refused_and_not_held() -> None:
    ways = Ways(before_response=True)
    ways.stream.refusing, ways.store.available = True, False
    assert ways.log.add([entry(1)]) == [entry(1)]
    assert ways.log.pending == 0
    assert "PredictionsPending" not in ways.metrics.counts


def test_redelivery_empties_the_store_in_order() -> None:
    ways = Ways()
    ways.store.keep("card-fraud", [entry(1), entry(2)])
    ways.store.keep("card-fraud", [entry(3)])
    assert redeliver(ways.stream, ways.store).delivered == 3
    assert ways.stream.entries == [entry(1), entry(2), entry(3)]
    assert not ways.store.kept


def test_of_a_batch_refused_in_part_only_the_refused_part_is_kept() -> None:
    ways = Ways()
    ways.store.keep("card-fraud", [entry(1), entry(2), entry(3)])
    ways.stream.refusing = frozenset({entry(2).prediction_id})
    assert redeliver(ways.stream, ways.store) == Redelivery(delivered=2, refused=1, unreadable=0)
    assert list(ways.store.kept.values()) == [(entry(2),)]
    ways.stream.refusing = False
    assert redeliver(ways.stream, ways.store) == Redelivery(delivered=1, refused=0, unreadable=0)
    assert sorted(ways.stream.entries) == [entry(1), entry(2), entry(3)]


def test_a_batch_that_cannot_be_read_stays_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways()
    ways.store.keep("card-fraud", [entry(1)])
    ways.store.keep("card-fraud", [entry(2)])
    broken, read = next(iter(ways.store.kept)), ways.store.read

    def read_or_fail(batch: str) -> Sequence[LogEntry]:
        if batch == broken:
            raise InvalidInput("A batch of undelivered records cannot be read.")
        return read(batch)

    monkeypatch.setattr(ways.store, "read", read_or_fail)
    assert redeliver(ways.stream, ways.store) == Redelivery(delivered=1, refused=0, unreadable=1)
    assert list(ways.store.kept) == [broken]


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30),
)
def test_under_any_outages_every_record_reaches_the_stream_once_both_are_back(
    outages: list[tuple[bool, bool]],
) -> None:
    ways = Ways()
    for number, (stream_down, store_down) in enumerate(outages):
        ways.stream.refusing, ways.store.available = stream_down, not store_down
        ways.log.add([entry(number)])
        ways.log.flush()
    ways.stream.refusing, ways.store.available = False, True
    ways.log.flush()
    redeliver(ways.stream, ways.store)
    assert sorted(ways.stream.entries) == [entry(number) for number in range(len(outages))]


@given(st.lists(st.integers(1, 900_000), max_size=40), st.integers(0, 1_200))
def test_batches_keep_every_entry_in_order_within_what_putrecords_takes(sizes: list[int], small: int) -> None:
    entries = [entry(n, size) for n, size in enumerate([*sizes, *([20] * small)])]
    cut = list(batches(entries))
    assert [item for batch in cut for item in batch] == entries
    for batch in cut:
        assert 0 < len(batch) <= 500
        assert sum(len(item.data) + len(item.partition_key) for item in batch) <= 5 * 1024 * 1024


def test_a_record_is_added_again_unless_it_is_pending_here() -> None:
    ways = Ways()
    ways.log.add([entry(1)])
    assert ways.log.add_again([entry(1), entry(2)]) == ()
    ways.log.flush()
    assert ways.stream.entries == [entry(1), entry(2)]
    ways.log.add_again([entry(1)])
    ways.log.flush()
    assert ways.stream.entries == [entry(1), entry(2), entry(1)]


def test_a_record_is_not_added_again_where_it_was_delivered_before_its_answer() -> None:
    ways = Ways(before_response=True)
    assert ways.log.add_again([entry(1)]) == ()
    assert ways.stream.entries == []


def test_a_record_is_not_added_again_to_a_log_without_room() -> None:
    ways = Ways()
    ways.log.add([entry(number) for number in range(MAX_PENDING)])
    ways.log.add_again([entry(0)])
    with pytest.raises(LogFull):
        ways.log.add_again([entry(MAX_PENDING)])


def test_two_runs_of_redeliver_at_once_stand_in_each_others_way_nowhere() -> None:
    ways = Ways()
    for number in (1, 2, 3):
        ways.store.keep("card-fraud", [entry(number)])

    class Overtaken(MemoryUndeliveredStore):
        """Another run comes between this one's list and its first read."""

        def batches(self) -> Sequence[str]:
            names = list(super().batches())
            redeliver(ways.stream, ways.store)
            ways.store.keep("card-fraud", [entry(4)])
            return names

    overtaken = Overtaken()
    overtaken.kept = ways.store.kept
    assert redeliver(ways.stream, overtaken) == Redelivery(delivered=0, refused=0, unreadable=0)
    assert ways.stream.entries == [entry(1), entry(2), entry(3)]
    assert list(ways.store.kept.values()) == [(entry(4),)]
