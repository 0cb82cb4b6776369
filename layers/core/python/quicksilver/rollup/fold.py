"""The fold: a batch off the prediction stream into the rollup, each record once.

A lane holds its counts and the identities of the records counted, and one conditional write changes both. So
whatever happens to a batch, each record in it counts once or, until the batch comes again, not at all::

    read lane ── read its pages ── [put page] ── put lane at version + 1
              │                 │             │                       │
              └── crash: nothing is written ──┴── a page says again   └── crash: written; the batch comes again,
                                                  what the lane says      and all of it is there already

A rival that writes in between makes the write a conflict: read, and fold again. Retries, a second delivery hours
later under another sequence number, split and merged shards and two consumers at once are all the same case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from quicksilver.errors import Conflict, FieldError, InvalidInput, Unavailable
from quicksilver.metrics import Metric
from quicksilver.ports import ArmMetrics, Clock, RollupStore
from quicksilver.rollup.record import Counted, count, read_record
from quicksilver.rollup.telling import tell_arms
from quicksilver.rollup_counts import LaneKey, merged
from quicksilver.stream_event import StreamRecord

logger = logging.getLogger(__name__)

PAGE_IDENTITIES = 256
"""With so many recent identities (10 bytes each) a lane moves them to a page before it takes more.

They are written again with every write of the lane, while a page is written once; and readers of the counts pay
for them. DynamoDB's limit of 400 KB an item is far: Lambda hands over 10,000 records at most.
"""

_ATTEMPTS = 8
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of a batch's records. ``repeated`` had been counted before, or are in the batch twice."""

    counted: int
    repeated: int
    unreadable: int
    too_late: int


@dataclass(frozen=True)
class Fold:
    """``pause(attempt)`` waits before a retry. ``cutoffs`` are the endpoints' decision cut-offs.

    Identities are kept for ``keep_days``. A record whose period is older is refused, as nothing would tell whether
    it has been counted; a day before they go, so that they outlast whoever is about to compare.
    """

    store: RollupStore
    clock: Clock
    metrics: ArmMetrics
    pause: Callable[[int], None]
    cutoffs: Mapping[str, float]
    period_seconds: int
    keep_days: int
    page_identities: int = PAGE_IDENTITIES

    def fold(self, records: Iterable[StreamRecord]) -> Folded:
        """Count a batch's records; what is no prediction record is reported and passed over, since it would never be one.

        Raises ``Unavailable`` where a record that could be counted was not: then the batch is to come again, and
        those of its records that were counted will be known.
        """
        lanes: dict[LaneKey, dict[bytes, Counted]] = {}
        readable = unreadable = too_late = 0
        oldest_ms = self.clock.now_ms() - (self.keep_days - 1) * _DAY_MS
        for record in records:
            try:
                counted = self._read(record)
            except InvalidInput as error:
                unreadable += 1
                logger.error(
                    "%s",
                    error,
                    extra={
                        "sequence_number": record.sequence_number,
                        "fields": [str(field) for field in error.fields],
                    },
                )
                continue
            key = counted.lane(self.period_seconds)
            if key.start_ms < oldest_ms:
                too_late += 1
                continue
            readable += 1
            lanes.setdefault(key, {})[counted.identity] = counted
        for metric, value in (
            (Metric.ROLLUP_RECORDS_UNREADABLE, unreadable),
            (Metric.ROLLUP_RECORDS_TOO_LATE, too_late),
        ):
            if value:
                self.metrics.count(metric, value)
        new = [one for key, wanted in lanes.items() for one in self._fold_lane(key, wanted)]
        if new:
            # Of those that are new alone: what comes a second time was not late the first time.
            delay_ms = self.clock.now_ms() - min(counted.time_ms for counted in new)
            self.metrics.count(Metric.PREDICTION_LOG_DELAY, max(0, delay_ms))
        return Folded(len(new), readable - len(new), unreadable, too_late)

    def _read(self, record: StreamRecord) -> Counted:
        counted = read_record(record.data)
        if counted.endpoint not in self.cutoffs:
            raise InvalidInput(
                "It is no endpoint's of this stage.", [FieldError("endpoint", "has no cut-off here")]
            )
        return counted

    def _fold_lane(self, key: LaneKey, records: Mapping[bytes, Counted]) -> Sequence[Counted]:
        """Count those records of a lane that are not counted yet, and return them."""
        for attempt in range(1, _ATTEMPTS + 1):
            lane = self.store.lane(key)
            # The pages after the lane: what it no longer says, they say already.
            seen = lane.recent | self.store.paged(key) if lane.paged else lane.recent
            new = records.keys() - seen
            if not new:
                return ()
            recent, paged = lane.recent, lane.paged
            if len(recent) >= self.page_identities:
                self.store.put_page(lane)
                recent, paged = frozenset(), paged + 1
            counted = [records[identity] for identity in new]
            counts = count(counted, self.cutoffs[key.endpoint])
            try:
                self.store.put_lane(
                    replace(
                        lane,
                        version=lane.version + 1,
                        arms=merged(lane.arms, counts),
                        recent=recent | new,
                        paged=paged,
                        expires_s=key.start_ms // 1_000 + self.keep_days * 86_400,
                    )
                )
            except Conflict:
                self.pause(attempt)
                continue
            tell_arms(counted, counts, self.metrics)
            return counted
        raise Unavailable(f"A lane of {key.endpoint} is contended: its batch has to come again.")
