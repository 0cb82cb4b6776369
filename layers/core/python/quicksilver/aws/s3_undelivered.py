"""Prediction records the stream did not take, as objects in the archive bucket.

One batch is one object, ``undelivered/<endpoint>/<first prediction id>.jsonl``: prediction ids are
time-ordered, so keys are too. The stream's partition key is the record's ``entity_id``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import UNDELIVERED_PREFIX
from quicksilver.errors import FieldError, InvalidInput, Unavailable
from quicksilver.ports import LogEntry


class S3UndeliveredStore:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(self, endpoint: str, entries: Sequence[LogEntry]) -> None:
        key = f"{UNDELIVERED_PREFIX}{endpoint}/{entries[0].prediction_id}.jsonl"
        body = b"".join(entry.data for entry in entries)
        _available(lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=body))

    def batches(self) -> Iterable[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=UNDELIVERED_PREFIX
        )
        keys = _available(lambda: [item["Key"] for page in pages for item in page.get("Contents", ())])
        return sorted(keys, key=lambda key: str(key).rpartition("/")[2])

    def read(self, batch: str) -> Sequence[LogEntry]:
        body = _available(lambda: self._client.get_object(Bucket=self._bucket, Key=batch)["Body"].read())
        return [_entry(batch, line) for line in body.splitlines()]

    def replace(self, batch: str, entries: Sequence[LogEntry]) -> None:
        body = b"".join(entry.data for entry in entries)
        _available(lambda: self._client.put_object(Bucket=self._bucket, Key=batch, Body=body))

    def discard(self, batch: str) -> None:
        _available(lambda: self._client.delete_object(Bucket=self._bucket, Key=batch))


def _entry(batch: str, line: bytes) -> LogEntry:
    try:
        record = json.loads(line)
        return LogEntry(record["prediction_id"], record["entity_id"], line + b"\n")
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(
            "A batch of undelivered records cannot be read.", [FieldError(batch, "is not prediction records")]
        ) from None


def _available(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(
            f"The store of undelivered predictions cannot be reached: {type(error).__name__}."
        ) from error
