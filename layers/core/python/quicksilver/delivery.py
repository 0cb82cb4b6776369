"""Delivery of prediction records: to the stream, or kept until the stream takes them.

A record is lost only if stream and store are both away and Lambda ends the environment meanwhile.

::

    add ──> pending ──put──> stream
                │  refused
                └──keep──> undelivered (S3) ──redeliver, every minute──> stream
                │  refused too
                └──> stays pending; the next flush tries again, and drain when the environment ends
                     pending full: no new decision is made (LogFull)

Records are added by the request and delivered by the thread after the response. A record leaves the pending ones
when it is acknowledged, not when it is sent, so nothing is in neither place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

from quicksilver.errors import InvalidInput, LogFull, Unavailable
from quicksilver.metrics import Metric
from quicksilver.ports import LogEntry, Metrics, PredictionStream, UndeliveredStore

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_PENDING = 5_000
"""Some 10 MB of records: what an execution environment can hold while both stream and store are away."""

LAST_PUT_SECONDS, LAST_KEEP_SECONDS = 0.2, 0.2
"""What the stream, and then the store, are given at an environment's end: Lambda kills it after 500 ms."""

# Limits of one PutRecords call: 500 records, 5 MiB with the partition keys.
# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
_MAX_BATCH_ENTRIES = 500
_MAX_BATCH_BYTES = 4 * 1024 * 1024


class PredictionLog:
    """One execution environment's records on their way to the stream.

    With ``before_response``, a record is delivered when it is added, or not taken at all.
    """

    def __init__(
        self,
        endpoint: str,
        stream: PredictionStream,
        undelivered: UndeliveredStore,
        metrics: Metrics,
        *,
        before_response: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._stream = stream
        self._undelivered = undelivered
        self._metrics = metrics
        self._before_response = before_response
        self._pending: list[LogEntry] = []
        self._draining = False
        self._changing = threading.Lock()
        self._delivering = threading.Lock()  # one delivery at a time, so that no record goes out by two

    @property
    def pending(self) -> int:
        """Records neither acknowledged by the stream nor kept in the store."""
        return len(self._pending)

    def check_room(self, records: int = 1) -> None:
        """Raise ``LogFull`` where so many more records could not be held: then no decision may be made."""
        if self.pending + records > MAX_PENDING:
            raise LogFull("The prediction log is full: its stream and its store are both unavailable.")

    def add(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        """Take records in; returns those not taken.

        Those are all of them in an environment that ends, whose last delivery is under way without them, and none
        elsewhere, but where they had to be delivered first and neither way out took them.
        """
        if not self._before_response:
            with self._changing:
                if self._draining:
                    return entries
                self._pending += entries
            return ()
        refused = _put(self._stream, entries)
        # Not held back: their decisions are not given, so records of them would be wrong.
        return refused if refused and not self._keep(refused) else ()

    def add_again(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        """Take records in of answers that are given again; returns those not taken, as ``add`` does.

        The environment that gave an answer first may have died before its record was out, and nobody can tell: so the record
        goes out again, and consumers tell the copies by ``prediction_id``. Not where a record is delivered before
        its answer is given, nor where it is pending here still. Raises ``LogFull``.
        """
        if self._before_response:
            return ()
        with self._changing:
            pending = {entry.prediction_id for entry in self._pending}
        left = [entry for entry in entries if entry.prediction_id not in pending]
        self.check_room(len(left))
        return self.add(left)

    def flush(self) -> None:
        """Deliver what is pending. What could not be delivered or kept stays pending."""
        with self._delivering:
            entries = self._snapshot()
            if not entries:
                return
            refused = _put(self._stream, entries)
            self._settle(len(entries), refused)
            if not refused:
                return
            if self._keep(refused):
                self._settle(len(refused), ())
            else:
                self._metrics.count(Metric.PREDICTIONS_PENDING, len(refused))

    def drain(self) -> None:
        """Deliver what is pending in the last half second of an environment.

        Stream and store get their time by the clock, whatever their clients would wait for. A delivery under way
        is not waited for, so its records may go out twice.
        """
        with self._changing:
            self._draining = True
            entries = self._pending.copy()
        if not entries:
            return
        refused = _within(LAST_PUT_SECONDS, lambda: _put(self._stream, entries))
        left = entries if refused is None else refused
        if left and not _within(LAST_KEEP_SECONDS, lambda: self._keep(left)):
            self._metrics.count(Metric.PREDICTIONS_LOST, len(left))
            logger.error("records lost with their environment", extra={"records": len(left)})

    def _snapshot(self) -> list[LogEntry]:
        with self._changing:
            return self._pending.copy()

    def _settle(self, sent: int, left: Sequence[LogEntry]) -> None:
        with self._changing:
            # Others may have been added behind those that were sent.
            self._pending[:sent] = left

    def _keep(self, refused: Sequence[LogEntry]) -> bool:
        self._metrics.count(Metric.PREDICTIONS_UNDELIVERED, len(refused))
        try:
            self._undelivered.keep(self._endpoint, refused)
        except Unavailable as error:
            logger.error("records not kept: %s", error)
            return False
        return True


def _within(seconds: float, call: Callable[[], Result]) -> Result | None:
    """What a call returns in time; else nothing, and it is left to itself."""
    results: SimpleQueue[Result] = SimpleQueue()
    threading.Thread(target=lambda: results.put(call()), daemon=True).start()
    try:
        return results.get(timeout=seconds)
    except Empty:
        return None


@dataclass(frozen=True, slots=True)
class Redelivery:
    """What one run did: entries put back on the stream, entries it refused, batches that cannot be read."""

    delivered: int
    refused: int
    unreadable: int


def redeliver(stream: PredictionStream, undelivered: UndeliveredStore) -> Redelivery:
    """Put every kept batch back on the stream; what the stream takes leaves the store.

    A run that dies between the put and the store's change delivers a batch twice: consumers tell records
    apart by ``prediction_id``. A run stops at the first batch the stream refuses: the rest would be
    refused too. A batch that cannot be read stays for a person to look at, and holds up no other.
    """
    delivered = unreadable = 0
    for name in undelivered.batches():
        try:
            entries = undelivered.read(name)
        except InvalidInput as error:
            unreadable += 1
            logger.error("%s", error, extra={"fields": [str(field) for field in error.fields]})
            continue
        if not entries:  # another run has put it back meanwhile
            continue
        refused = _put(stream, entries)
        delivered += len(entries) - len(refused)
        if refused:
            if len(refused) < len(entries):
                undelivered.replace(name, refused)
            return Redelivery(delivered, len(refused), unreadable)
        undelivered.discard(name)
    return Redelivery(delivered, 0, unreadable)


def _put(stream: PredictionStream, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
    """Put entries on the stream, as many calls as that takes; returns those not accepted."""
    return [entry for batch in batches(entries) for entry in stream.put(batch)]


def batches(entries: Sequence[LogEntry]) -> Iterator[Sequence[LogEntry]]:
    """Cut entries, in order, into batches that one PutRecords call can carry."""
    batch: list[LogEntry] = []
    size = 0
    for entry in entries:
        weight = len(entry.data) + len(entry.partition_key.encode())
        if batch and (len(batch) == _MAX_BATCH_ENTRIES or size + weight > _MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += weight
    if batch:
        yield batch
