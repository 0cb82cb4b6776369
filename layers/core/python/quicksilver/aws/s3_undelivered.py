"""Prediction records the stream did not take, as objects in the archive bucket.

One batch is one object, ``undelivered/<endpoint>/<first prediction id>-<digest of the batch>.jsonl``: prediction ids are
time-ordered, so keys are too, and no batch takes another's place: not that of one with the same first record, which
``redeliver`` may have read and be about to discard. The stream's partition key is the record's ``entity_id``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import UNDELIVERED_PREFIX
from quicksilver.errors import FieldError, InvalidInput, Unavailable
from quicksilver.ports import LogEntry

_DIGEST_LENGTH = 16


class S3UndeliveredStore:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(self, endpoint: str, entries: Sequence[LogEntry]) -> None:
        body = b"".join(entry.data for entry in entries)
        digest = sha256(body).hexdigest()[:_DIGEST_LENGTH]
        key = f"{UNDELIVERED_PREFIX}{endpoint}/{entries[0].prediction_id}-{digest}.jsonl"
        _available(lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=body))

    def batches(self) -> Iterable[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=UNDELIVERED_PREFIX
        )
        keys = _available(lambda: [item["Key"] for page in pages for item in page.get("Contents", ())])
        return sorted(keys, key=lambda key: str(key).rpartition("/")[2])

    def read(self, batch: str) -> Sequence[LogEntry]:
        body = _available(lambda: self._body(batch))
        return [_entry(batch, line) for line in body.splitlines()]

    def _body(self, batch: str) -> bytes:
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=batch)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return b""
            raise
        return body

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
