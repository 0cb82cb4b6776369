"""Online features in DynamoDB: one item per row, one BatchGetItem per request.

Item: ``pk`` = ``<group>#<key>``, ``as_of`` = UTC epoch ms, and one attribute per feature.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import FieldError, InvalidInput, Unavailable
from quicksilver.metrics import Metric
from quicksilver.ports import Deadline, FeatureKey, FeatureReading, FeatureRow, Metrics

logger = logging.getLogger(__name__)

_WRITE_BATCH = 25  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
_WRITE_ROUNDS = 12
_RETRYABLE = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
    }
)

Item = dict[str, dict[str, Any]]


class DynamoDBFeatureStore:
    """``attempt_seconds`` is how long one call of the client can take at most; ``pause(attempt)`` waits before a retry."""

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        attempt_seconds: float,
        pause: Callable[[int], None],
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._table = table
        self._attempt_seconds = attempt_seconds
        self._pause = pause
        self._metrics = metrics

    def read(self, keys: Sequence[FeatureKey], names: Sequence[str], deadline: Deadline) -> FeatureReading:
        if not keys:
            return FeatureReading({})
        aliases = {f"#{index}": name for index, name in enumerate(names)}
        request: Mapping[str, Any] = {
            self._table: {
                "Keys": [{"pk": {"S": _pk(key)}} for key in keys],
                # Feature names may be reserved words (`count`, `hour`), so each goes by an alias.
                "ProjectionExpression": ", ".join(["pk", "as_of", *aliases]),
                **({"ExpressionAttributeNames": aliases} if aliases else {}),
            }
        }
        by_pk = {_pk(key): key for key in keys}
        rows: dict[FeatureKey, FeatureRow] = {}
        attempt = 0
        # BatchGetItem may answer for a part of the keys only. What it did not process is not absent:
        # it is asked for again while there is time for a whole attempt, and then it is late.
        while request and deadline.remaining_seconds() >= (self._attempt_seconds if attempt else 0):
            if attempt:
                self._pause(attempt)
            attempt += 1
            try:
                response = self._client.batch_get_item(RequestItems=request)
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                self._failed(str(code))
                if code in _RETRYABLE:
                    continue
                break
            except BotoCoreError as error:
                self._failed(type(error).__name__)
                continue
            for item in response["Responses"].get(self._table, ()):
                row = _row(by_pk[item["pk"]["S"]], item)
                if row is not None:
                    rows[row.key] = row
            request = response.get("UnprocessedKeys") or {}
        unanswered = request.get(self._table, {}).get("Keys", ())
        return FeatureReading(rows, frozenset(by_pk[key["pk"]["S"]] for key in unanswered))

    def _failed(self, error: str) -> None:
        self._metrics.count(Metric.FEATURE_READS_FAILED)
        logger.warning("feature read failed", extra={"error": error})

    def write(self, rows: Iterable[FeatureRow]) -> int:
        # A later row replaces an earlier one; BatchWriteItem refuses two items of one key.
        items = {_pk(row.key): _item(row) for row in rows}
        puts = [{"PutRequest": {"Item": item}} for item in items.values()]
        for start in range(0, len(puts), _WRITE_BATCH):
            request: Mapping[str, Any] = {self._table: puts[start : start + _WRITE_BATCH]}
            for attempt in range(_WRITE_ROUNDS):
                if attempt:
                    self._pause(attempt)
                request = self._client.batch_write_item(RequestItems=request).get("UnprocessedItems") or {}
                if not request:
                    break
            else:
                raise Unavailable(f"The feature store did not take all rows after {_WRITE_ROUNDS} attempts.")
        return len(puts)


def _pk(key: FeatureKey) -> str:
    return f"{key.group}#{key.key}"


def _row(key: FeatureKey, item: Item) -> FeatureRow | None:
    as_of = item.get("as_of", {}).get("N")
    if as_of is None:
        return None  # a row of unknown age could be any age, so it is as good as none
    values = {name: _read(value) for name, value in item.items() if name not in ("pk", "as_of")}
    return FeatureRow(key, int(as_of), values)


def _read(value: Mapping[str, Any]) -> Any:
    if "N" in value:
        return float(value["N"])
    # A type that no feature has (a list, a set) reaches `encode`, which refuses it.
    return next(iter(value.values()))


def _item(row: FeatureRow) -> Item:
    item: Item = {"pk": {"S": _pk(row.key)}, "as_of": {"N": str(row.as_of_ms)}}
    for name, value in row.values.items():
        if isinstance(value, bool):
            item[name] = {"BOOL": value}
        elif isinstance(value, str):
            item[name] = {"S": value}
        else:
            item[name] = {"N": _number(name, value)}
    return item


def _number(name: str, value: float) -> str:
    # DynamoDB numbers hold 38 digits between 1E-130 and 9.9E+125; a float's 17 digits come back bit-equal.
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
    if not math.isfinite(value) or (value and not 1e-130 <= abs(value) < 1e126):
        raise InvalidInput(
            "A feature cannot be stored.", [FieldError(name, "is not a number DynamoDB can hold")]
        )
    return repr(value)
