"""What Lambda hands over of the prediction stream: a Kinesis event's records, and the batch they are.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class StreamRecord(NamedTuple):
    """One record of the stream: its place in its shard, and its bytes."""

    sequence_number: str
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Records of one shard, at least one. ``arrived_ms`` is when the last of them reached the stream (UTC epoch ms)."""

    shard: str
    records: tuple[StreamRecord, ...]
    arrived_ms: int

    @property
    def name(self) -> str:
        """Shard, first and last sequence number: the same records, the same name."""
        return f"{self.shard}-{self.records[0].sequence_number}-{self.records[-1].sequence_number}"


def stream_records(event: Mapping[str, Any]) -> list[StreamRecord]:
    """The event's records, in their order."""
    return [
        StreamRecord(record["kinesis"]["sequenceNumber"], base64.b64decode(record["kinesis"]["data"]))
        for record in event["Records"]
    ]


def stream_batch(event: Mapping[str, Any]) -> StreamBatch:
    """The event's records as a batch: Lambda hands over records of one shard, in order."""
    last = event["Records"][-1]
    return StreamBatch(
        shard=last["eventID"].partition(":")[0],
        records=tuple(stream_records(event)),
        arrived_ms=int(float(last["kinesis"]["approximateArrivalTimestamp"]) * 1_000),
    )
