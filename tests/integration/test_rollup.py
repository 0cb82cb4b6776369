"""The deployed rollup: equal to a recount of the archive, whatever happened to its consumer and its batches."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
from quicksilver.aws.system import SystemClock, pause
from quicksilver.cli import rollup
from quicksilver.cli.app import app
from quicksilver.errors import Unavailable
from quicksilver.memory import MemoryMetrics
from quicksilver.ports import RollupStore
from quicksilver.query import Span
from quicksilver.rollup.fold import Fold
from quicksilver.rollup.recount import differences, recount
from quicksilver.rollup_counts import Lane, Period
from quicksilver.sql.engine import DuckDBEngine
from quicksilver.stream_event import stream_records
from tests.local_stack import eventually

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

Body = dict[str, Any]


@pytest.fixture
def since_ms() -> int:
    """From when on only this test's records count: the start of a period that nothing else is in."""
    now_ms = time.time_ns() // 1_000_000
    start_ms = now_ms // 5_000 * 5_000 + 5_000
    eventually(lambda: time.time_ns() // 1_000_000 >= start_ms, "the next period begins")
    return start_ms


def periods(stack: LocalStack, since_ms: int) -> Sequence[Period]:
    return stack.rollup.periods("card-fraud", since_ms=since_ms, until_ms=since_ms + 3_600_000)


def requests(stack: LocalStack, since_ms: int) -> int:
    found = periods(stack, since_ms)
    return sum(counts.requests for period in found for counts in period.arms.values())


def recounted(stack: LocalStack, since_ms: int) -> list[Period]:
    environment = stack.environment_of(stack.function("rollup"))
    span = Span(since_ms, since_ms + 3_600_000)
    with DuckDBEngine(stack.archive).open(["predictions"], span, endpoint="card-fraud") as database:
        return recount(
            lambda sql, parameters: database.query(sql, parameters).records(),
            "card-fraud",
            since_ms=span.start_ms,
            until_ms=span.end_ms,
            period_ms=int(environment["QUICKSILVER_ROLLUP_PERIOD_SECONDS"]) * 1_000,
            cutoff=json.loads(environment["QUICKSILVER_CUTOFFS"])["card-fraud"],
        )


def score(stack: LocalStack, body: Body, first: int, last: int) -> set[str]:
    """Score for so many entities; the prediction ids."""
    answers = [
        stack.score(
            {**body, "entity_id": f"card_{number}", "features": {**body["features"], "amount": 10.0 * number}}
        )
        for number in range(first, last)
    ]
    assert {answer.status for answer in answers} == {200}
    return {answer.content["prediction_id"] for answer in answers}


def records_of(stack: LocalStack, ids: set[str]) -> list[dict[str, Any]]:
    """What the stream holds of these predictions, as Lambda would hand it over."""
    client, stream = stack.client("kinesis"), stack.outputs["PredictionsStream"]
    (shard,) = client.list_shards(StreamName=stream)["Shards"]
    iterator = client.get_shard_iterator(
        StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    found: list[dict[str, Any]] = []
    while True:
        page = client.get_records(ShardIterator=iterator, Limit=1_000)
        found += [
            {
                "kinesis": {
                    "sequenceNumber": record["SequenceNumber"],
                    "partitionKey": record["PartitionKey"],
                    "data": base64.b64encode(record["Data"]).decode(),
                }
            }
            for record in page["Records"]
            if json.loads(record["Data"])["prediction_id"] in ids
        ]
        if not page["Records"]:
            return found
        iterator = page["NextShardIterator"]


@contextmanager
def without_its_table(stack: LocalStack) -> Iterator[None]:
    """The function as it is when its table does not answer."""
    client, function = stack.client("lambda"), stack.function("rollup")
    environment = stack.environment_of(function)
    gone = {**environment, "QUICKSILVER_ROLLUP_TABLE": "gone"}
    client.update_function_configuration(FunctionName=function, Environment={"Variables": gone})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=function, Environment={"Variables": environment})


class Killed(BaseException):
    """The process is gone."""


class DiesAfterTheWrite(DynamoDBRollupStore):
    """The real store, under a consumer that is killed when its first lane has been written."""

    def put_lane(self, lane: Lane) -> None:
        super().put_lane(lane)
        raise Killed


def fold(store: RollupStore) -> Fold:
    """The deployed fold in this process."""
    return Fold(
        store=store,
        clock=SystemClock(),
        metrics=MemoryMetrics(),
        pause=pause,
        cutoffs={"card-fraud": 0.5},
        period_seconds=5,
        keep_days=35,
    )


def test_the_rollup_equals_a_recount_of_the_archive_after_outages_crashes_and_repetitions(
    stack: LocalStack, request_body: Body, since_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given predictions that are counted as they come
    ids = score(stack, request_body, 0, 12)
    eventually(lambda: requests(stack, since_ms) == 12, "twelve requests are counted")

    # When the rollup's table is away for a while, and a consumer that has it is killed amid its batch
    with without_its_table(stack):
        ids |= score(stack, request_body, 12, 24)
        batch = records_of(stack, ids)
        with pytest.raises(Unavailable, match="The rollup's table refuses"):
            stack.invoke(stack.function("rollup"), {"Records": batch})
        with pytest.raises(Killed):
            fold(DiesAfterTheWrite(stack.client("dynamodb"), stack.outputs["RollupTable"])).fold(
                stream_records({"Records": batch})
            )
        assert 12 < requests(stack, since_ms) < 24
    # Then the batch comes again, and what was not counted is
    eventually(lambda: requests(stack, since_ms) == 24, "what came meanwhile is counted")

    # When four consumers have a batch at once, the stream's own among them
    ids |= score(stack, request_body, 24, 36)
    batch = records_of(stack, ids)
    assert len(batch) == 36
    with ThreadPoolExecutor(3) as pool:
        for answer in pool.map(
            lambda _: stack.invoke(stack.function("rollup"), {"Records": batch}), range(3)
        ):
            assert answer["counted"] + answer["repeated"] == 36
    assert stack.invoke(stack.function("rollup"), {"Records": batch}) == {
        "counted": 0,
        "repeated": 36,
        "unreadable": 0,
        "too_late": 0,
    }

    # And the stream brings them all a second time, with something among them that is no record
    stack.client("kinesis").put_records(
        StreamName=stack.outputs["PredictionsStream"],
        Records=[
            {
                "Data": base64.b64decode(item["kinesis"]["data"]),
                "PartitionKey": item["kinesis"]["partitionKey"],
            }
            for item in batch
        ],
    )
    ids |= score(stack, request_body, 36, 40)
    eventually(lambda: requests(stack, since_ms) == 40, "those behind the repetitions are counted")

    # Then the archive has the repetitions too, and the counts are those of its predictions
    eventually(lambda: len(stack.archived(ids)) == 76, "every delivery is in the archive")
    counted = periods(stack, since_ms)
    assert differences(counted, recounted(stack, since_ms)) == []
    assert counted == recounted(stack, since_ms)
    assert requests(stack, since_ms) == len(ids) == 40
    # And so says the command line
    monkeypatch.setattr(rollup, "deployed_stage", lambda _: stack)
    command = ["rollup", "check", "--endpoint", "card-fraud", "--minutes", "1", "--settle", "0", "--json"]
    checked = CliRunner().invoke(app, command)
    assert checked.exit_code == 0, checked.output
    content = json.loads(checked.stdout)
    assert content["requests in the rollup"] == content["requests in the archive"] > 0


def test_what_is_no_record_holds_nothing_up(stack: LocalStack, request_body: Body, since_ms: int) -> None:
    poison = base64.b64encode(b"not a prediction record").decode()
    ids = score(stack, request_body, 0, 2)
    batch = [{"kinesis": {"sequenceNumber": "1", "data": poison}}, *records_of(stack, ids)]
    answer = stack.invoke(stack.function("rollup"), {"Records": batch})
    assert answer["unreadable"] == 1
    assert answer["counted"] + answer["repeated"] == 2
    assert requests(stack, since_ms) == 2
