"""The prediction stream in Kinesis."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.ports import LogEntry

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
# A stream that is gone or locked stays so for longer than a request lives.
_HOPELESS = frozenset({"ResourceNotFoundException", "AccessDeniedException", "KMSAccessDeniedException"})


class KinesisPredictionStream:
    """``pause(attempt)`` waits, with jitter, before a retry."""

    def __init__(self, client: Any, stream: str, pause: Callable[[int], None]) -> None:
        self._client = client
        self._stream = stream
        self._pause = pause

    def put(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        pending = list(entries)
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pause(attempt)
            try:
                response = self._client.put_records(
                    StreamName=self._stream,
                    Records=[{"Data": entry.data, "PartitionKey": entry.partition_key} for entry in pending],
                )
            except (BotoCoreError, ClientError) as error:
                code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
                logger.warning("PutRecords failed", extra={"error": code or type(error).__name__})
                if code in _HOPELESS:
                    return pending
                continue
            # PutRecords answers 200 and may still have refused some: each result says so itself.
            results = response.get("Records", ())
            if len(results) != len(pending):
                logger.warning("PutRecords failed", extra={"error": "no result for each record"})
                continue
            pending = [entry for entry, result in zip(pending, results, strict=True) if "ErrorCode" in result]
            if not pending:
                return ()
        return pending
