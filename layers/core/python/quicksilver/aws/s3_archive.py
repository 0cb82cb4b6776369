"""The archive in S3: reading back what was delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import ArchiveTable
from quicksilver.errors import Unavailable

_READERS = 16


class S3Archive:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keys(self, table: ArchiveTable, *, since_ms: int | None = None) -> list[str]:
        """Every object of a table, in the order of their names.

        With ``since_ms`` (UTC epoch), at least those with a record of that moment or later: folders are left out that
        end before it.
        """
        after = {"StartAfter": table.prefix + _hour_before(since_ms)} if since_ms and table.by_hour else {}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=table.prefix, **after
        )
        try:
            return [item["Key"] for page in pages for item in page.get("Contents", ())]
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The archive cannot be listed: {type(error).__name__}.") from error

    def copy_to(
        self,
        table: ArchiveTable,
        file: IO[bytes],
        progress: Callable[[int, int], None] | None = None,
        *,
        since_ms: int | None = None,
    ) -> int:
        """Write a table's records to a file as JSON Lines; returns how many objects were read.

        ``progress(done, total)`` is called as objects arrive. Memory holds a few objects at a time. ``since_ms``
        leaves out what ``keys`` leaves out.
        """
        keys = self.keys(table, since_ms=since_ms)
        for done, body in enumerate(self._bodies(keys), 1):
            file.write(body if body.endswith(b"\n") or not body else body + b"\n")
            if progress:
                progress(done, len(keys))
        return len(keys)

    def _bodies(self, keys: list[str]) -> Iterator[bytes]:
        def read(key: str) -> bytes:
            data: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            return data

        with ThreadPoolExecutor(_READERS) as readers:
            for start in range(0, len(keys), _READERS):
                try:
                    yield from readers.map(read, keys[start : start + _READERS])
                except (BotoCoreError, ClientError) as error:
                    raise Unavailable(f"The archive cannot be read: {type(error).__name__}.") from error


def _hour_before(epoch_ms: int) -> str:
    """The folder of the hour before a moment's own: an object lies where its *oldest* record belongs
    (Amazon Data Firehose Developer Guide, "Understand custom prefixes"), and records arrive after their time."""
    moment = datetime.fromtimestamp(epoch_ms / 1_000, UTC) - timedelta(hours=1)
    return f"{moment:%Y/%m/%d/%H}/"
