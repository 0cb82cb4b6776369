"""Idempotency keys in DynamoDB: one item per key, changed only by conditional writes.

Item: ``pk`` = the scoped key, ``attempt``, ``payload`` (SHA-256), ``until_ms``, ``answer`` once there is one, and
``expires_at`` (epoch s) by which DynamoDB clears it away. That takes hours to days, so ``until_ms`` alone says what
still holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import Unavailable
from quicksilver.ports import Deadline, Hold

_ATTEMPTS = 3
_LEAST_SECONDS = 0.005
"""What must be left for asking again to be worth it: DynamoDB answers in single-digit milliseconds."""
_RETRYABLE = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
    }
)
_NAMES = {f"#{name}": name for name in ("pk", "attempt", "answer")}


class DynamoDBIdempotencyStore:
    """``pause(attempt, most_seconds)`` waits before a retry.

    Attempts race for a key; the condition of the one write lets one of them through, and the others are told
    by its refusal who it was, with no read in between::

        A   take ── attempt A ─────────── decide ───── take with answer
        B      take: refused, A's ── wait ── take: refused, A's ── wait ── take: refused, A's answer
        C                                                                     ... hours later: the same
        ───────┬────────────────────────────────────────────┬──────────────────────────┬───> time
            A has the key                 until_ms of A's hold: A is dead      until_ms of the answer
            (timeout of the function)     if it has not answered, and the     the key is free
                                          key is free
    """

    def __init__(self, client: Any, table: str, *, pause: Callable[[int, float], None]) -> None:
        self._client = client
        self._table = table
        self._pause = pause
        self._bounded: Callable[[float], Any] | None = getattr(client, "bounded", None)

    def take(self, hold: Hold, *, now_ms: int, deadline: Deadline) -> Hold:
        nobody_has_it = "attribute_not_exists(#pk)"
        its_hold_has_ended = "#until_ms <= :now_ms"
        # The same write again, or the answer to it. Not behind an answer: a first take that was delayed on its
        # way must not undo it.
        this_attempt_has_it = "#attempt = :attempt AND attribute_not_exists(#answer)"
        refusal = self._write(
            "put_item",
            deadline,
            Item=_item(hold),
            ConditionExpression=f"{nobody_has_it} OR {its_hold_has_ended} OR ({this_attempt_has_it})",
            ExpressionAttributeNames={**_NAMES, "#until_ms": "until_ms"},
            ExpressionAttributeValues={":now_ms": {"N": str(now_ms)}, ":attempt": {"S": hold.attempt}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return hold if refusal is None else _hold(refusal)

    def release(self, hold: Hold, *, deadline: Deadline) -> None:
        this_attempt_has_it = "#attempt = :attempt AND attribute_not_exists(#answer)"
        self._write(
            "delete_item",
            deadline,
            Key={"pk": {"S": hold.key}},
            ConditionExpression=f"attribute_exists(#pk) AND {this_attempt_has_it}",
            ExpressionAttributeNames=_NAMES,
            ExpressionAttributeValues={":attempt": {"S": hold.attempt}},
        )

    def _write(self, operation: str, deadline: Deadline, **request: Any) -> Mapping[str, Any] | None:
        """Write, and return nothing; or, where the condition does not hold, the refusal."""
        for attempt in range(1, _ATTEMPTS + 1):
            left = deadline.remaining_seconds()
            if left <= (_LEAST_SECONDS if attempt > 1 else 0):
                break
            client = self._bounded(left) if self._bounded else self._client
            try:
                getattr(client, operation)(TableName=self._table, **request)
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                if code == "ConditionalCheckFailedException":
                    refusal: Mapping[str, Any] = error.response
                    return refusal
                if code not in _RETRYABLE:
                    raise Unavailable(f"the table of keys refuses: {code}.") from None
                failed = str(code)
            except BotoCoreError as error:
                failed = type(error).__name__
            else:
                return None
            if not self._bounded:  # one attempt may have taken all the time there is
                raise Unavailable(f"the table of keys does not answer: {failed}.")
            self._pause(attempt, max(0.0, deadline.remaining_seconds() - _LEAST_SECONDS))
        raise Unavailable("the table of keys does not answer in time.")


def _item(hold: Hold) -> dict[str, dict[str, str]]:
    item = {
        "pk": {"S": hold.key},
        "attempt": {"S": hold.attempt},
        "payload": {"S": hold.payload_sha256},
        "until_ms": {"N": str(hold.until_ms)},
        "expires_at": {"N": str(-(-hold.until_ms // 1_000))},
    }
    return item if hold.answer is None else {**item, "answer": {"S": hold.answer}}


def _hold(refusal: Mapping[str, Any]) -> Hold:
    try:
        item = refusal["Item"]
        return Hold(
            key=item["pk"]["S"],
            attempt=item["attempt"]["S"],
            payload_sha256=item["payload"]["S"],
            until_ms=int(item["until_ms"]["N"]),
            answer=item["answer"]["S"] if "answer" in item else None,
        )
    except (KeyError, ValueError):
        raise Unavailable("the table of keys does not say who holds a key.") from None
