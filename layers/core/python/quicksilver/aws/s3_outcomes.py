"""Outcomes as objects in the archive bucket, named by their content: ``outcomes/<endpoint>/<sha256>.jsonl``."""

from __future__ import annotations

import hashlib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import OUTCOMES_PREFIX
from quicksilver.errors import Unavailable


class S3OutcomeStore:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(self, endpoint: str, lines: bytes) -> None:
        key = f"{OUTCOMES_PREFIX}{endpoint}/{hashlib.sha256(lines).hexdigest()}.jsonl"
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=lines)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(
                f"The outcomes cannot be kept in the archive: {type(error).__name__}."
            ) from error
