"""What Lambda hands over of the prediction stream: a Kinesis event's records.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple


class StreamRecord(NamedTuple):
    """One record of the stream: its place in its shard, and its bytes."""

    sequence_number: str
    data: bytes


def stream_records(event: Mapping[str, Any]) -> list[StreamRecord]:
    """The event's records, in their order."""
    return [
        StreamRecord(record["kinesis"]["sequenceNumber"], base64.b64decode(record["kinesis"]["data"]))
        for record in event["Records"]
    ]
