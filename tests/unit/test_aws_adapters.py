"""The AWS adapters when AWS says no: throttled, partial, unreachable, gone. botocore's Stubber speaks for AWS."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from quicksilver.aws.dynamodb_features import DynamoDBFeatureStore
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.kinesis_predictions import KinesisPredictionStream
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_undelivered import S3UndeliveredStore
from quicksilver.errors import Conflict, InvalidInput, Unavailable
from quicksilver.history import Action, Entry, Head
from quicksilver.memory import ManualClock, MemoryMetrics
from quicksilver.ports import Change, Deadline, FeatureKey, FeatureRow, LogEntry
from quicksilver.routing import Arm, Role, Route

A, B = FeatureKey("card", "a"), FeatureKey("card", "b")


def stubbed(service: str) -> tuple[Any, Stubber]:
    client = boto3.client(
        service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


def item(key: FeatureKey, value: str) -> dict[str, Any]:
    return {"pk": {"S": f"{key.group}#{key.key}"}, "as_of": {"N": "5"}, "x": {"N": value}}


class Pauses:
    """Counts the waits between attempts, and lets a manual clock feel them."""

    def __init__(self, clock: ManualClock, milliseconds: int = 10) -> None:
        self.count, self._clock, self._milliseconds = 0, clock, milliseconds

    def __call__(self, attempt: int, most_seconds: float = 1) -> None:
        self.count += 1
        self._clock.advance_ms(self._milliseconds)


def feature_store(client: Any) -> tuple[DynamoDBFeatureStore, Deadline, Pauses]:
    clock = ManualClock()
    pauses = Pauses(clock)
    store = DynamoDBFeatureStore(
        client, "features", attempt_seconds=0.05, pause=pauses, metrics=MemoryMetrics()
    )
    return store, Deadline.after_ms(clock, 100), pauses


def test_keys_that_were_not_processed_are_asked_for_again() -> None:
    client, stub = stubbed("dynamodb")
    rest = {
        "features": {
            "Keys": [{"pk": {"S": "card#b"}}],
            "ProjectionExpression": "pk, as_of, #0",
            "ExpressionAttributeNames": {"#0": "x"},
        }
    }
    stub.add_response("batch_get_item", {"Responses": {"features": [item(A, "1")]}, "UnprocessedKeys": rest})
    stub.add_response("batch_get_item", {"Responses": {"features": [item(B, "2")]}}, {"RequestItems": rest})
    store, deadline, pauses = feature_store(client)
    reading = store.read([A, B], ["x"], deadline)
    assert {key: row.values["x"] for key, row in reading.rows.items()} == {A: 1.0, B: 2.0}
    assert (reading.late, pauses.count) == (frozenset(), 1)


def test_keys_never_processed_before_the_deadline_are_late_and_not_missing() -> None:
    client, stub = stubbed("dynamodb")
    rest = {"features": {"Keys": [{"pk": {"S": "card#b"}}]}}
    for _ in range(6):
        stub.add_response(
            "batch_get_item", {"Responses": {"features": [item(A, "1")]}, "UnprocessedKeys": rest}
        )
    store, deadline, _ = feature_store(client)
    reading = store.read([A, B], ["x"], deadline)
    assert (set(reading.rows), reading.late) == ({A}, frozenset({B}))


def test_a_throttled_read_is_tried_again_while_there_is_time_for_a_whole_attempt() -> None:
    client, stub = stubbed("dynamodb")
    for _ in range(10):
        stub.add_client_error("batch_get_item", "ProvisionedThroughputExceededException")
    store, deadline, pauses = feature_store(client)
    assert store.read([A], ["x"], deadline).late == frozenset({A})
    # 100 ms of budget, 10 ms a pause, 50 ms for an attempt: five retries fit, then one more would not.
    assert 4 <= pauses.count <= 6


def test_a_refused_read_is_late_at_once_and_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    client, stub = stubbed("dynamodb")
    stub.add_client_error("batch_get_item", "AccessDeniedException")
    clock, metrics = ManualClock(), MemoryMetrics()
    pauses = Pauses(clock)
    store = DynamoDBFeatureStore(client, "features", attempt_seconds=0.05, pause=pauses, metrics=metrics)
    assert store.read([A], ["x"], Deadline.after_ms(clock, 100)).late == frozenset({A})
    assert (pauses.count, metrics.counts) == (0, {"FeatureReadsFailed": 1})
    assert caplog.records[-1].__dict__["error"] == "AccessDeniedException"


def test_a_page_of_5xx_that_is_not_dynamodbs_own_is_asked_past() -> None:
    client, stub = stubbed("dynamodb")
    stub.add_client_error("batch_get_item", "502", http_status_code=502)
    stub.add_response("batch_get_item", {"Responses": {"features": [item(A, "1")]}})
    store, deadline, _ = feature_store(client)
    assert store.read([A], ["x"], deadline).rows.keys() == {A}


def test_an_unreachable_store_makes_keys_late(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = stubbed("dynamodb")

    def timeout(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="x")

    monkeypatch.setattr(client, "batch_get_item", timeout)
    store, deadline, _ = feature_store(client)
    assert store.read([A], ["x"], deadline).late == frozenset({A})


def test_an_answer_without_its_responses_makes_keys_late_and_not_absent() -> None:
    """botocore reads a JSON text that was cut as an empty answer."""
    client, stub = stubbed("dynamodb")
    for _ in range(10):
        stub.add_response("batch_get_item", {})
    store, deadline, _ = feature_store(client)
    assert store.read([A], ["x"], deadline).late == frozenset({A})


def test_a_chunk_of_keys_that_is_refused_makes_only_its_own_late() -> None:
    client, stub = stubbed("dynamodb")
    keys = [FeatureKey("card", str(number)) for number in range(250)]
    chunks = [keys[:100], keys[100:200], keys[200:]]
    for number, chunk in enumerate(chunks):
        if number == 1:
            stub.add_client_error("batch_get_item", "AccessDeniedException")
        else:
            items = [item(key, "1") for key in chunk]
            stub.add_response("batch_get_item", {"Responses": {"features": items}})
    store, deadline, _ = feature_store(client)
    reading = store.read(keys, ["x"], deadline)
    assert (set(reading.rows), reading.late) == ({*chunks[0], *chunks[2]}, frozenset(chunks[1]))
    stub.assert_no_pending_responses()


def test_what_chunks_leave_unprocessed_is_asked_for_together_when_all_have_been_asked() -> None:
    client, stub = stubbed("dynamodb")
    keys = [FeatureKey("card", str(number)) for number in range(150)]
    for left, chunk in ((keys[:1], keys[:100]), (keys[100:101], keys[100:])):
        rest = {"features": {"Keys": [{"pk": {"S": f"card#{key.key}"}} for key in left]}}
        items = [item(key, "1") for key in chunk if key not in left]
        stub.add_response("batch_get_item", {"Responses": {"features": items}, "UnprocessedKeys": rest})
    both = {
        "features": {
            "Keys": [{"pk": {"S": "card#0"}}, {"pk": {"S": "card#100"}}],
            "ProjectionExpression": "pk, as_of",
        }
    }
    answer = {"Responses": {"features": [item(keys[0], "1"), item(keys[100], "1")]}}
    stub.add_response("batch_get_item", answer, {"RequestItems": both})
    store, deadline, pauses = feature_store(client)
    reading = store.read(keys, [], deadline)
    assert (set(reading.rows), reading.late, pauses.count) == (set(keys), frozenset(), 1)


class Bounded:
    """A client that takes all the time it is given, and more only from one who gives none."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.given: list[float] = []

    def bounded(self, seconds: float) -> Bounded:
        self.given.append(seconds)
        return self

    def batch_get_item(self, **_: Any) -> None:
        self._clock.advance_ms(round(self.given[-1] * 1_000))
        raise ReadTimeoutError(endpoint_url="x")


def test_an_attempt_is_given_no_more_than_what_is_left_of_the_deadline() -> None:
    clock, metrics = ManualClock(), MemoryMetrics()
    client = Bounded(clock)
    pauses = Pauses(clock)
    store = DynamoDBFeatureStore(client, "features", attempt_seconds=0.05, pause=pauses, metrics=metrics)
    deadline = Deadline.after_ms(clock, 100)
    assert store.read([A], ["x"], deadline).late == frozenset({A})
    # 50 ms, a pause of 10, and the 40 that are left.
    assert client.given == pytest.approx([0.05, 0.04])
    assert deadline.remaining_seconds() == pytest.approx(0)


def test_a_client_that_cannot_be_bounded_is_not_asked_for_a_chunk_it_may_have_no_time_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, _ = stubbed("dynamodb")
    store, deadline, pauses = feature_store(client)
    asked: list[int] = []

    def slow(**request: Any) -> dict[str, Any]:
        asked.append(len(request["RequestItems"]["features"]["Keys"]))
        pauses._clock.advance_ms(30)
        return {"Responses": {}}

    monkeypatch.setattr(client, "batch_get_item", slow)
    keys = [FeatureKey("card", str(number)) for number in range(350)]
    reading = store.read(keys, ["x"], deadline)
    # 100 ms of budget and 50 ms for an attempt: after two of 30 ms a third might be late.
    assert (asked, reading.late) == ([100, 100], frozenset(keys[200:]))


def test_a_pause_is_given_no_more_than_leaves_room_for_an_attempt() -> None:
    clock = ManualClock()
    asked: list[float] = []

    def pause(_: int, most_seconds: float) -> None:
        asked.append(most_seconds)
        clock.advance_ms(round(most_seconds * 1_000))

    store = DynamoDBFeatureStore(
        Bounded(clock), "features", attempt_seconds=0.05, pause=pause, metrics=MemoryMetrics()
    )
    deadline = Deadline.after_ms(clock, 100)
    store.read([A], ["x"], deadline)
    assert asked == pytest.approx([0.04])
    assert deadline.remaining_seconds() == pytest.approx(0)


def test_an_item_without_its_time_is_as_good_as_none() -> None:
    client, stub = stubbed("dynamodb")
    stub.add_response(
        "batch_get_item", {"Responses": {"features": [{"pk": {"S": "card#a"}, "x": {"N": "1"}}]}}
    )
    store, deadline, _ = feature_store(client)
    assert store.read([A], ["x"], deadline).rows == {}


@pytest.mark.parametrize("as_of", [{"N": "1.5E-7"}, {"S": "noon"}])
def test_an_item_whose_time_cannot_be_read_is_as_good_as_none(as_of: dict[str, str]) -> None:
    client, stub = stubbed("dynamodb")
    stub.add_response("batch_get_item", {"Responses": {"features": [{**item(A, "1"), "as_of": as_of}]}})
    store, deadline, _ = feature_store(client)
    assert store.read([A], ["x"], deadline).rows == {}


def test_a_null_attribute_is_absent_and_no_true() -> None:
    client, stub = stubbed("dynamodb")
    stub.add_response(
        "batch_get_item", {"Responses": {"features": [{**item(A, "1"), "new_card": {"NULL": True}}]}}
    )
    store, deadline, _ = feature_store(client)
    assert "new_card" not in store.read([A], ["x", "new_card"], deadline).rows[A].values


def test_rows_not_written_are_written_again() -> None:
    client, stub = stubbed("dynamodb")
    put = {"PutRequest": {"Item": {"pk": {"S": "card#a"}, "as_of": {"N": "1"}, "x": {"N": "2.0"}}}}
    stub.add_response("batch_write_item", {"UnprocessedItems": {"features": [put]}})
    stub.add_response("batch_write_item", {}, {"RequestItems": {"features": [put]}})
    store, _, pauses = feature_store(client)
    assert (store.write([FeatureRow(A, 1, {"x": 2.0})]), pauses.count) == (1, 1)


def test_rows_never_taken_are_an_error_and_not_silence() -> None:
    client, stub = stubbed("dynamodb")
    put = {"PutRequest": {"Item": {"pk": {"S": "card#a"}}}}
    for _ in range(12):
        stub.add_response("batch_write_item", {"UnprocessedItems": {"features": [put]}})
    store, _, _ = feature_store(client)
    with pytest.raises(Unavailable, match="did not take all rows"):
        store.write([FeatureRow(A, 1, {"x": 2.0})])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e126, 1e-131])
def test_a_number_dynamodb_cannot_hold_is_refused_by_name(value: float) -> None:
    store, _, _ = feature_store(stubbed("dynamodb")[0])
    with pytest.raises(InvalidInput) as refusal:
        store.write([FeatureRow(A, 1, {"x": value})])
    assert refusal.value.fields[0].field == "x"


ROUTE = Route(
    endpoint="card-fraud",
    number=1,
    salt="s",
    arms=(Arm(model="card-fraud@1", package_sha256="0" * 64, role=Role.CHAMPION, share_bp=10_000),),
    author="ada",
    created_at="t",
)


HEAD = Head(endpoint="card-fraud")
ENTRY = Entry(
    endpoint="card-fraud",
    number=1,
    previous_sha256=HEAD.sha256,
    action=Action.ROUTED,
    subject="route 1",
    who="ada",
    at="t",
)
CHANGE = Change(HEAD, HEAD.next(ENTRY, route=1), ENTRY, route=ROUTE)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ConditionalCheckFailed", Conflict),
        ("TransactionConflict", Conflict),
        ("ThrottlingError", Unavailable),
    ],
)
def test_a_cancelled_transaction_says_whether_a_rival_or_the_table_was_the_cause(
    code: str, error: type[Exception]
) -> None:
    client, stub = stubbed("dynamodb")
    stub.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        modeled_fields={"CancellationReasons": [{"Code": code}, {"Code": "None"}]},
    )
    with pytest.raises(error):
        DynamoDBRegistryStore(client, "registry").commit(CHANGE)


def test_an_unreachable_registry_is_unavailable() -> None:
    client, stub = stubbed("dynamodb")
    stub.add_client_error("get_item", "InternalServerError")
    with pytest.raises(Unavailable):
        DynamoDBRegistryStore(client, "registry").current_route("card-fraud")


def test_a_registry_item_that_cannot_be_read_is_unavailable_and_no_crash() -> None:
    client, stub = stubbed("dynamodb")
    stub.add_response("get_item", {"Item": {"document": {"S": '{"endpoint": "card-fraud"}'}}})
    with pytest.raises(Unavailable, match="cannot be read"):
        DynamoDBRegistryStore(client, "registry").current_route("card-fraud")


ENTRIES = [LogEntry(f"id-{n}", f"card_{n}", b"{}\n") for n in range(3)]


def test_only_the_records_kinesis_refused_are_put_again() -> None:
    client, stub = stubbed("kinesis")
    ok = {"SequenceNumber": "1", "ShardId": "s"}
    slow = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "m"}
    stub.add_response("put_records", {"FailedRecordCount": 1, "Records": [ok, slow, ok]})
    again = {"StreamName": "p", "Records": [{"Data": b"{}\n", "PartitionKey": "card_1"}]}
    stub.add_response("put_records", {"Records": [ok]}, again)
    assert list(KinesisPredictionStream(client, "p", lambda _: None).put(ENTRIES)) == []
    stub.assert_no_pending_responses()


def test_a_missing_stream_is_not_asked_twice_and_everything_comes_back() -> None:
    client, stub = stubbed("kinesis")
    stub.add_client_error("put_records", "ResourceNotFoundException")
    assert list(KinesisPredictionStream(client, "p", lambda _: None).put(ENTRIES)) == ENTRIES
    stub.assert_no_pending_responses()


def test_records_refused_at_every_attempt_come_back() -> None:
    client, stub = stubbed("kinesis")
    for _ in range(3):
        stub.add_client_error("put_records", "ProvisionedThroughputExceededException")
    assert list(KinesisPredictionStream(client, "p", lambda _: None).put(ENTRIES)) == ENTRIES
    stub.assert_no_pending_responses()


def test_an_answer_without_a_result_for_each_record_acknowledges_none() -> None:
    client, stub = stubbed("kinesis")
    ok = {"SequenceNumber": "1", "ShardId": "s"}
    for answered in (1, 2, 4):
        stub.add_response("put_records", {"Records": [ok] * answered})
    assert list(KinesisPredictionStream(client, "p", lambda _: None).put(ENTRIES)) == ENTRIES


def test_an_unreachable_stream_gives_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = stubbed("kinesis")

    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="x")

    monkeypatch.setattr(client, "put_records", unreachable)
    assert list(KinesisPredictionStream(client, "p", lambda _: None).put(ENTRIES)) == ENTRIES


def test_an_artefact_store_that_refuses_is_unavailable() -> None:
    client, stub = stubbed("s3")
    stub.add_client_error("get_object", "SlowDown")
    with pytest.raises(Unavailable, match="SlowDown"):
        S3ArtifactStore(client, "models").get("a" * 64, "model.txt")


def test_a_store_that_cannot_keep_says_so() -> None:
    client, stub = stubbed("s3")
    stub.add_client_error("put_object", "ServiceUnavailable")
    with pytest.raises(Unavailable):
        S3UndeliveredStore(client, "archive").keep("card-fraud", ENTRIES)


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"prediction_id": "1"}'])
def test_a_batch_that_is_no_records_is_named(body: bytes) -> None:
    client, stub = stubbed("s3")
    stub.add_response("get_object", {"Body": BytesIO(body)})
    with pytest.raises(InvalidInput) as refusal:
        S3UndeliveredStore(client, "archive").read("undelivered/card-fraud/1.jsonl")
    assert refusal.value.fields[0].field == "undelivered/card-fraud/1.jsonl"
