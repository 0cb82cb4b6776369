"""Delivery of prediction records: to the stream, or kept until the stream takes them.

A record is lost only if stream and store are both away and Lambda ends the environment meanwhile.

::

    add ──> pending ──put──> stream
                │  refused
                └──keep──> undelivered (S3) ──redeliver, every minute──> stream
                │  refused too
                └──> stays pending; the next flush tries again
                     pending full: no new decision is made (LogFull)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quicksilver.errors import InvalidInput, LogFull, Unavailable
from quicksilver.metrics import Metric
from quicksilver.ports import LogEntry, Metrics, PredictionStream, UndeliveredStore

logger = logging.getLogger(__name__)

MAX_PENDING = 5_000
"""Some 10 MB of records: what an execution environment can hold while both stream and store are away."""

# Limits of one PutRecords call: 500 records, 5 MiB with the partition keys.
# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
_MAX_BATCH_ENTRIES = 500
_MAX_BATCH_BYTES = 4 * 1024 * 1024


class PredictionLog:
    """One execution environment's records on their way to the stream."""

    def __init__(
        self, endpoint: str, stream: PredictionStream, undelivered: UndeliveredStore, metrics: Metrics
    ) -> None:
        self._endpoint = endpoint
        self._stream = stream
        self._undelivered = undelivered
        self._metrics = metrics
        self._pending: list[LogEntry] = []

    @property
    def pending(self) -> int:
        """Records neither acknowledged by the stream nor kept in the store."""
        return len(self._pending)

    def check_room(self) -> None:
        """Raise ``LogFull`` where one more record could not be held: then no decision may be made."""
        if len(self._pending) >= MAX_PENDING:
            raise LogFull("The prediction log is full: its stream and its store are both unavailable.")

    def add(self, entry: LogEntry) -> None:
        self._pending.append(entry)

    def flush(self) -> None:
        """Deliver what is pending. Never raises: what could not be delivered or kept stays pending."""
        if not self._pending:
            return
        refused = [entry for batch in batches(self._pending) for entry in self._stream.put(batch)]
        # Only now are the others safe to forget.
        self._pending = refused
        if not refused:
            return
        self._metrics.count(Metric.PREDICTIONS_UNDELIVERED, len(refused))
        try:
            self._undelivered.keep(self._endpoint, refused)
        except Unavailable:
            self._metrics.count(Metric.PREDICTIONS_PENDING, len(refused))
        else:
            self._pending = []


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
        refused = [entry for batch in batches(entries) for entry in stream.put(batch)]
        delivered += len(entries) - len(refused)
        if refused:
            if len(refused) < len(entries):
                undelivered.replace(name, refused)
            return Redelivery(delivered, len(refused), unreadable)
        undelivered.discard(name)
    return Redelivery(delivered, 0, unreadable)


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
