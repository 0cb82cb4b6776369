"""Shadows' scores as objects in the archive bucket: ``shadow/yyyy/MM/dd/HH/<batch>.jsonl``, one a batch."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import SHADOW_PREFIX, hour_folder
from quicksilver.aws.refusals import cause
from quicksilver.errors import Unavailable


class S3ShadowScoreStore:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(self, batch: str, arrived_ms: int, lines: bytes) -> None:
        key = f"{SHADOW_PREFIX}{hour_folder(arrived_ms)}{batch}.jsonl"
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=lines)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The archive cannot be written: {cause(error)}.") from error
