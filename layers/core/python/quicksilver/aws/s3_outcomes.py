"""Outcomes as objects in the archive bucket, named by their content: ``outcomes/<endpoint>/yyyy/MM/dd/HH/<sha256>.jsonl``."""

from __future__ import annotations

import hashlib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import OUTCOMES, hour_folder
from quicksilver.errors import Unavailable
from quicksilver.ports import Clock


class S3OutcomeStore:
    """Under the hour in which they arrive. The same batch in another hour is there twice, and once in the table."""

    def __init__(self, client: Any, bucket: str, clock: Clock) -> None:
        self._client = client
        self._bucket = bucket
        self._clock = clock

    def keep(self, endpoint: str, lines: bytes) -> None:
        hour = hour_folder(self._clock.now_ms())
        key = f"{OUTCOMES.folder(endpoint)}{hour}{hashlib.sha256(lines).hexdigest()}.jsonl"
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=lines)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(
                f"The outcomes cannot be kept in the archive: {type(error).__name__}."
            ) from error
