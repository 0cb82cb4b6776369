"""The archive in S3: reading back what was delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import PREDICTIONS_PREFIX
from quicksilver.errors import Unavailable

_READERS = 16


class S3Archive:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keys(self) -> list[str]:
        """Every object of delivered prediction records, oldest first."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=PREDICTIONS_PREFIX
        )
        try:
            return [item["Key"] for page in pages for item in page.get("Contents", ())]
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The archive cannot be listed: {type(error).__name__}.") from error

    def copy_to(self, file: IO[bytes], progress: Callable[[int, int], None] | None = None) -> int:
        """Write every archived record to a file as JSON Lines; returns how many objects were read.

        ``progress(done, total)`` is called as objects arrive. Memory holds a few objects at a time.
        """
        keys = self.keys()
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
