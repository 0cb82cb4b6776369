"""Online features in DynamoDB: one item per row, one BatchGetItem per hundred keys.

Item: ``pk`` = ``<group>#<key>``, ``as_of`` = UTC epoch ms, and one attribute per feature.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import FieldError, InvalidInput, Unavailable
from quicksilver.metrics import Metric
from quicksilver.ports import Deadline, FeatureKey, FeatureReading, FeatureRow, Metrics

logger = logging.getLogger(__name__)

_READ_BATCH = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_LEAST_SHARE = 0.2  # of an attempt's time; DynamoDB answers in single-digit milliseconds or not soon
_WRITE_BATCH = 25  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
_WRITE_ROUNDS = 12
_LONGEST_PAUSE = 0.32  # seconds; nobody waits for a write
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
    """``pause(attempt, most_seconds)`` waits before a retry.

    ``attempt_seconds`` is how long one call may take at most. A client that can be told so by call
    (``bounded(seconds)``) is never waited for past the deadline; another must have been made with it.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        attempt_seconds: float,
        pause: Callable[[int, float], None],
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._table = table
        self._attempt_seconds = attempt_seconds
        self._bounded: Callable[[float], Any] | None = getattr(client, "bounded", None)
        # What a call may take whatever is left of the deadline, and what must be left for asking again to be worth it.
        self._unbounded_seconds = 0 if self._bounded else attempt_seconds
        self._least_seconds = attempt_seconds * (_LEAST_SHARE if self._bounded else 1)
        self._pause = pause
        self._metrics = metrics

    def read(self, keys: Sequence[FeatureKey], names: Sequence[str], deadline: Deadline) -> FeatureReading:
        by_pk = {_pk(key): key for key in keys}
        projection = _projection(tuple(names))
        rows: dict[FeatureKey, FeatureRow] = {}
        refused: list[str] = []
        unanswered = list(by_pk)
        attempt = 0
        # BatchGetItem may answer for a part of the keys only. What it did not process is not absent:
        # it is asked for again, when all the others have been, while there is time; and then it is late.
        while unanswered and (spare := self._spare_seconds(deadline, attempt)) > 0:
            if attempt:
                self._pause(attempt, spare)
            attempt += 1
            asked, unanswered = unanswered, []
            for start in range(0, len(asked), _READ_BATCH):
                pks = asked[start : start + _READ_BATCH]
                left = deadline.remaining_seconds()
                if left <= 0 or (start and left < self._unbounded_seconds):
                    unanswered += asked[start:]
                    break
                try:
                    items, missed = self._ask(pks, projection, min(left, self._attempt_seconds))
                except _Refused:
                    refused += pks
                    continue
                unanswered += missed
                for item in items:
                    row = _row(by_pk[item["pk"]["S"]], item)
                    if row is not None:
                        rows[row.key] = row
        return FeatureReading(rows, frozenset(by_pk[pk] for pk in (*refused, *unanswered)))

    def _spare_seconds(self, deadline: Deadline, attempt: int) -> float:
        return deadline.remaining_seconds() - (self._least_seconds if attempt else 0)

    def _ask(
        self, pks: Sequence[str], projection: Mapping[str, Any], seconds: float
    ) -> tuple[Sequence[Item], Sequence[str]]:
        """The items under up to 100 keys, and the keys to ask for again."""
        request = {self._table: {"Keys": [{"pk": {"S": pk}} for pk in pks], **projection}}
        client = self._bounded(seconds) if self._bounded else self._client
        try:
            response = client.batch_get_item(RequestItems=request)
            items = response["Responses"].get(self._table, ())
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            self._failed(str(code))
            # A 5xx without a code of DynamoDB's comes from what is in front of it, and passes as its own do.
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _RETRYABLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return (), pks
            raise _Refused from None
        except (BotoCoreError, KeyError) as error:  # botocore makes of an answer that was cut an empty one
            self._failed(type(error).__name__)
            return (), pks
        missed = (response.get("UnprocessedKeys") or {}).get(self._table, {}).get("Keys", ())
        return items, [key["pk"]["S"] for key in missed]

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
                    self._pause(attempt, _LONGEST_PAUSE)
                request = self._client.batch_write_item(RequestItems=request).get("UnprocessedItems") or {}
                if not request:
                    break
            else:
                raise Unavailable(f"The feature store did not take all rows after {_WRITE_ROUNDS} attempts.")
        return len(puts)


class _Refused(Exception):
    """DynamoDB will not answer, however often it is asked."""


@lru_cache(maxsize=64)
def _projection(names: tuple[str, ...]) -> Mapping[str, Any]:
    # Feature names may be reserved words (`count`, `hour`), so each goes by an alias.
    aliases = {f"#{index}": name for index, name in enumerate(names)}
    expression = {"ProjectionExpression": ", ".join(["pk", "as_of", *aliases])}
    return {**expression, "ExpressionAttributeNames": aliases} if aliases else expression


def _pk(key: FeatureKey) -> str:
    return f"{key.group}#{key.key}"


def _row(key: FeatureKey, item: Item) -> FeatureRow | None:
    try:
        as_of_ms = int(item["as_of"]["N"])
    except (KeyError, ValueError):
        return None  # a row of unknown age could be any age, so it is as good as none
    values = {
        name: _read(value)
        for name, value in item.items()
        if name not in ("pk", "as_of") and "NULL" not in value  # whose content is `true`, and no boolean
    }
    return FeatureRow(key, as_of_ms, values)


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
