"""The rollup's table when it refuses, does not answer, or holds what it should not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
from quicksilver.errors import Conflict, Unavailable
from quicksilver.rollup_counts import Lane, LaneKey

KEY = LaneKey("card-fraud", 0, 3)
CALLS: dict[str, Callable[[DynamoDBRollupStore], object]] = {
    "periods": lambda store: store.periods("card-fraud", since_ms=0, until_ms=1),
    "lane": lambda store: store.lane(KEY),
    "paged": lambda store: store.paged(KEY),
    "put_page": lambda store: store.put_page(Lane(KEY, 1)),
    "put_lane": lambda store: store.put_lane(Lane(KEY, 1)),
}


class FakeClient:
    """A DynamoDB whose every call raises, or gives the same."""

    def __init__(self, error: Exception | None = None, **answer: Any) -> None:
        self._error, self._answer = error, answer

    def __getattr__(self, _: str) -> Any:
        def call(**__: Any) -> Any:
            if self._error:
                raise self._error
            return self._answer

        return call


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "secret"}}, "PutItem")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (refusal("ProvisionedThroughputExceededException"), "refuses: ProvisionedThroughput"),
        (refusal("ResourceNotFoundException"), "refuses: ResourceNotFound"),
        (refusal("AccessDeniedException"), "refuses: AccessDenied"),
        (ConnectTimeoutError(endpoint_url="secret"), "cannot be reached: ConnectTimeoutError"),
    ],
)
def test_a_table_that_does_not_do_what_it_should_is_unavailable(
    call: str, error: Exception, sentence: str
) -> None:
    with pytest.raises(Unavailable, match=sentence) as raised:
        CALLS[call](DynamoDBRollupStore(FakeClient(error), "rollup"))
    assert "secret" not in str(raised.value)


def test_only_a_condition_that_does_not_hold_is_a_conflict() -> None:
    with pytest.raises(Conflict):
        CALLS["put_lane"](
            DynamoDBRollupStore(FakeClient(refusal("ConditionalCheckFailedException")), "rollup")
        )


SOUND = {
    "start_ms": {"N": "0"},
    "version": {"N": "1"},
    "counts": {"S": "[]"},
    "recent": {"B": b""},
    "paged": {"N": "0"},
    "expires_at": {"N": "0"},
    "ids": {"B": b""},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": {"S": "{"}},
        {"counts": {"S": '[{"model":"card-fraud@1"}]'}},
        {"counts": {"S": '[{"model":"m","role":"emperor","holdout":false,"latency":{},"scores":{}}]'}},
        {"counts": {"S": '[{"model":"m","role":"canary","holdout":false,"latency":{},"scores":{},"x":1}]'}},
        {"counts": {"N": "1"}, "ids": {"S": "x"}},
    ],
)
def test_an_item_that_cannot_be_read_is_unavailable_and_never_counted_over(changes: dict[str, Any]) -> None:
    item = {**SOUND, **changes}
    store = DynamoDBRollupStore(FakeClient(Item=item, Items=[item]), "rollup")
    for call in ("periods", "lane", *(["paged"] if "ids" in changes else [])):
        with pytest.raises(Unavailable, match="cannot be read"):
            CALLS[call](store)


def test_a_sound_item_is_read() -> None:
    store = DynamoDBRollupStore(FakeClient(Item=SOUND, Items=[SOUND]), "rollup")
    assert store.lane(KEY) == Lane(KEY, 1)
    assert store.paged(KEY) == frozenset()
