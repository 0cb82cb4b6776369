"""Contracts as objects in the archive bucket: ``contracts/<fingerprint>.jsonl``, each written once."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import CONTRACTS_PREFIX
from quicksilver.aws.refusals import cause
from quicksilver.errors import Unavailable

# The first one is there; a rival is writing the same content this moment.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_KEPT_ALREADY = {"PreconditionFailed", "ConditionalRequestConflict"}


class S3ContractStore:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(self, fingerprint: str, lines: bytes) -> None:
        key = f"{CONTRACTS_PREFIX}{fingerprint}.jsonl"
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=lines, IfNoneMatch="*")
        except (BotoCoreError, ClientError) as error:
            if cause(error) not in _KEPT_ALREADY:
                raise Unavailable(f"The contract cannot be kept in the archive: {cause(error)}.") from error
