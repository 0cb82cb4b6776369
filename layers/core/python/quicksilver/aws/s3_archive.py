"""The archive in S3: what was delivered, by endpoint and hour."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import HOUR_MS, LATE_HOURS, ArchiveObject, ArchiveTable, hours
from quicksilver.errors import Unavailable
from quicksilver.query import Span

_CHUNK = 1 << 20
_READERS = 16


class S3Archive:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def objects(
        self, table: ArchiveTable, span: Span | None = None, *, endpoint: str | None = None, late_ms: int
    ) -> Iterator[ArchiveObject]:
        try:
            for folder in self._folders(table, endpoint):
                yield from self._in(folder, table, span, late_ms)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The archive cannot be listed: {type(error).__name__}.") from error

    def _folders(self, table: ArchiveTable, endpoint: str | None) -> Iterator[str]:
        if endpoint is not None or not table.by_endpoint:
            yield table.folder(endpoint or "")
            return
        for page in self._pages(Prefix=table.prefix, Delimiter="/"):
            yield from (item["Prefix"] for item in page.get("CommonPrefixes", ()))

    def _in(
        self, folder: str, table: ArchiveTable, span: Span | None, late_ms: int
    ) -> Iterator[ArchiveObject]:
        first, last = hours(table, span, late_ms)
        for page in self._pages(Prefix=folder, StartAfter=folder + first):
            for item in page.get("Contents", ()):
                hour = item["Key"].removeprefix(folder)
                if last is not None and hour[: len(last)] > last:
                    return
                # What was whole before a record's time cannot hold it.
                if (
                    span is None
                    or not table.by_hour
                    or item["LastModified"] >= datetime.fromtimestamp(span.start_ms / 1_000, UTC)
                ):
                    yield ArchiveObject(item["Key"], item["Size"])

    def _pages(self, **request: Any) -> Any:
        return self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **request)

    def lines(
        self, table: ArchiveTable, span: Span | None = None, *, endpoint: str | None = None
    ) -> Iterator[bytes]:
        """The records of a table as they were delivered, where that is JSON Lines: a few objects are in memory at a time."""
        objects = list(self.objects(table, span, endpoint=endpoint, late_ms=LATE_HOURS * HOUR_MS))
        with ThreadPoolExecutor(_READERS) as readers:
            for start in range(0, len(objects), _READERS):
                for body in readers.map(self._body, objects[start : start + _READERS]):
                    yield from body.splitlines(keepends=True)

    def _body(self, item: ArchiveObject) -> bytes:
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=item.key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The archive cannot be read: {type(error).__name__}.") from error
        return body

    def copy(self, key: str, file: Path) -> None:
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            with file.open("wb") as target:
                for chunk in body.iter_chunks(_CHUNK):
                    target.write(chunk)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The archive cannot be read: {type(error).__name__}.") from error
