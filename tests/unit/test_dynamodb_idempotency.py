"""The table of keys when DynamoDB throttles, refuses, hangs or breaks off: in time, and never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quicksilver.aws.connections import Limits
from quicksilver.aws.dynamodb_idempotency import DynamoDBIdempotencyStore
from quicksilver.aws.json_client import DynamoDBClient
from quicksilver.aws.system import SystemClock
from quicksilver.errors import Unavailable
from quicksilver.memory import ManualClock
from quicksilver.ports import Deadline, Hold
from tests.contract.tables import no_pause
from tests.scripted_server import Step, Then, answer, serving

MINE = Hold("k" * 64, "mine", "a" * 64, until_ms=2_000)
THEIRS: Mapping[str, Any] = {
    "pk": {"S": "k" * 64},
    "attempt": {"S": "theirs"},
    "payload": {"S": "a" * 64},
    "until_ms": {"N": "3000"},
    "answer": {"S": "{}"},
}


def store_at(url: str) -> DynamoDBIdempotencyStore:
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
    }
    client = DynamoDBClient(Limits(5, 5, 2**20), environment=environment)
    return DynamoDBIdempotencyStore(client, "keys", pause=no_pause)


def within(ms: int) -> Deadline:
    return Deadline.after_ms(SystemClock(), ms)


def refused(code: str, **more: Any) -> Step:
    return answer({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no", **more}, 400)


@pytest.mark.parametrize(
    "first",
    [
        refused("ThrottlingException"),
        refused("ProvisionedThroughputExceededException"),
        answer({"__type": "InternalServerError"}, 500),
        Step(b"HTTP/1.1 200 OK\r\ncontent-le", Then.CLOSE),
        Step(b"", Then.RESET),
    ],
    ids=["throttled", "out of throughput", "an error of theirs", "cut", "reset"],
)
def test_what_passes_is_asked_again(first: Step) -> None:
    with serving(first, answer({})) as server:
        assert store_at(server.url).take(MINE, now_ms=1, deadline=within(2_000)) == MINE
    one, two = server.received
    assert one.body == two.body


def test_a_release_that_was_throttled_is_asked_again() -> None:
    with serving(refused("ThrottlingException"), answer({})) as server:
        store_at(server.url).release(MINE, deadline=within(2_000))
    assert len(server.received) == 2


def test_the_refusal_says_who_holds_the_key() -> None:
    with serving(refused("ConditionalCheckFailedException", Item=THEIRS)) as server:
        holder = store_at(server.url).take(MINE, now_ms=1, deadline=within(2_000))
    assert holder == Hold("k" * 64, "theirs", "a" * 64, 3_000, "{}")


@pytest.mark.parametrize("item", [{}, {**THEIRS, "until_ms": {"N": "x"}}, {**THEIRS, "attempt": {"N": "1"}}])
def test_a_refusal_that_does_not_say_who_is_not_guessed_at(item: Mapping[str, Any]) -> None:
    step = refused("ConditionalCheckFailedException", Item=item)
    with serving(step) as server, pytest.raises(Unavailable, match="does not say"):
        store_at(server.url).take(MINE, now_ms=1, deadline=within(2_000))


@pytest.mark.parametrize(
    "code", ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"]
)
def test_what_does_not_pass_is_asked_once(code: str) -> None:
    with serving(script=lambda _: refused(code)) as server, pytest.raises(Unavailable, match=code):
        store_at(server.url).take(MINE, now_ms=1, deadline=within(2_000))
    assert len(server.received) == 1


def test_a_table_that_throttles_for_ever_is_given_up() -> None:
    with serving(script=lambda _: refused("ThrottlingException")) as server, pytest.raises(Unavailable):
        store_at(server.url).take(MINE, now_ms=1, deadline=within(2_000))
    assert len(server.received) == 3


@pytest.mark.parametrize("then", [Then.HANG, Then.DRIP])
def test_a_table_that_never_answers_is_waited_for_until_the_deadline_only(then: Then) -> None:
    with serving(script=lambda _: Step(b"HTTP/1.1 200 OK\r\nx: ", then)) as server:
        began = monotonic()
        with pytest.raises(Unavailable):
            store_at(server.url).take(MINE, now_ms=1, deadline=within(100))
    assert monotonic() - began < 1


def test_a_client_that_cannot_be_told_how_long_is_asked_once() -> None:
    class Boto3Like:
        calls = 0

        def put_item(self, **_: Any) -> None:
            self.calls += 1
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "PutItem")

    client = Boto3Like()
    store = DynamoDBIdempotencyStore(client, "keys", pause=no_pause)
    with pytest.raises(Unavailable):
        store.take(MINE, now_ms=1, deadline=Deadline.after_ms(ManualClock(), 100))
    assert client.calls == 1


def test_the_moment_at_which_dynamodb_clears_a_key_away_is_never_before_its_hold_ends() -> None:
    with serving(script=lambda _: answer({})) as server:
        store_at(server.url).take(
            Hold("k", "a", "p", until_ms=1_760_000_000_001), now_ms=1, deadline=within(2_000)
        )
    assert b'"expires_at":{"N":"1760000001"}' in server.received[0].body
