"""The score function under AWS's own runtime client: the response leaves first, and the record is never lost."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench.execution_environment import ExecutionEnvironment
from bench.runtime_api import RuntimeApi
from tests.stub_aws import StubAws
from tests.unit.conftest import Bench

# It has wheels for Linux only.
pytest.importorskip("awslambdaric")

Start = Callable[..., tuple[RuntimeApi, ExecutionEnvironment]]


@pytest.fixture
def aws(bench: Bench) -> Iterator[StubAws]:
    aws = StubAws(bench)
    yield aws
    aws.stop()


@pytest.fixture
def start(aws: StubAws) -> Iterator[Start]:
    """Starts the function; by default on a platform with the Extensions API."""
    with ExitStack() as running:

        def start(*, extensions: bool = True, **variables: str) -> tuple[RuntimeApi, ExecutionEnvironment]:
            api = running.enter_context(RuntimeApi(extensions=extensions))
            environment = {**aws.environment, **variables}
            return api, running.enter_context(ExecutionEnvironment(api, environment=environment))

        yield start


@pytest.fixture
def event(request_body: dict[str, Any]) -> dict[str, Any]:
    return {"body": json.dumps(request_body), "requestContext": {"requestId": "r-1"}}


def prediction_id(answer: dict[str, Any]) -> str:
    assert answer["statusCode"] == 200, answer
    return str(json.loads(answer["body"])["prediction_id"])


def ids(records: list[dict[str, Any]]) -> list[str]:
    return [record["prediction_id"] for record in records]


def sigterm_is_blocked(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    blocked = next(line.split()[1] for line in status if line.startswith("SigBlk:"))
    return bool(int(blocked, 16) & 1 << (signal.SIGTERM - 1))


def counted(function: ExecutionEnvironment, metric: str) -> bool:
    return f'"{metric}"' in function.output


def test_the_response_leaves_before_its_record_does(
    start: Start, aws: StubAws, event: dict[str, Any]
) -> None:
    api, _ = start()
    assert api.extensions == ("quicksilver",)
    answers = [prediction_id(api.invoke(event).body) for _ in range(30)]
    assert ids(aws.taken) == answers
    responses = [moment.at_ns for moment in api.moments if moment.name == "response"]
    puts = [aws.puts.get_nowait() for _ in answers]
    assert all(response < put for response, put in zip(responses, puts, strict=True))


def test_no_response_waits_for_the_stream_and_the_environment_does(
    start: Start, aws: StubAws, event: dict[str, Any]
) -> None:
    # Given a stream that does not answer
    api, _ = start()
    aws.hold_stream()
    # When a request comes
    invocation = api.begin(event)
    # Then it is answered
    answer = prediction_id(invocation.wait_answered())
    # And the environment is busy until the stream has its record
    aws.puts.get(timeout=10)
    assert not invocation.over.is_set()
    assert aws.taken == []
    aws.release_stream()
    invocation.wait_over()
    assert answer in ids(aws.taken)


def test_a_stream_that_refuses_leaves_the_record_in_the_store(
    start: Start, aws: StubAws, event: dict[str, Any]
) -> None:
    api, function = start()
    aws.stream_up = False
    answer = prediction_id(api.invoke(event).body)
    assert aws.taken == []
    assert {key: ids(records) for key, records in aws.kept.items()} == {
        f"undelivered/card-fraud/{answer}.jsonl": [answer]
    }
    assert counted(function, "PredictionsUndelivered")


def test_a_record_that_neither_takes_goes_out_after_the_next_response(
    start: Start, aws: StubAws, event: dict[str, Any]
) -> None:
    api, function = start()
    aws.stream_up = aws.store_up = False
    first = prediction_id(api.invoke(event).body)
    assert (aws.taken, aws.kept) == ([], {})
    assert counted(function, "PredictionsPending")
    aws.stream_up = True
    second = prediction_id(api.invoke(event).body)
    assert ids(aws.taken) == [first, second]


@pytest.mark.parametrize("hanging", [False, True], ids=["refusing", "hanging"])
def test_what_is_pending_when_lambda_ends_the_environment_reaches_the_store(
    start: Start, aws: StubAws, event: dict[str, Any], hanging: bool
) -> None:
    # Given a record that neither way out took
    api, function = start()
    aws.stream_up = aws.store_up = False
    answer = prediction_id(api.invoke(event).body)
    # When the store is back, the stream is not, and Lambda ends the environment
    aws.store_up = True
    if hanging:
        aws.hold_stream()
    code = function.shut_down()
    # Then the process ended by itself in time, and the store has the record
    assert code == 0
    assert [ids(records) for records in aws.kept.values()] == [[answer]]


def test_records_that_nothing_takes_until_the_end_are_counted_and_said(
    start: Start, aws: StubAws, event: dict[str, Any]
) -> None:
    api, function = start()
    aws.stream_up = aws.store_up = False
    prediction_id(api.invoke(event).body)
    function.shut_down()
    assert "records lost with their environment" in function.output
    assert counted(function, "PredictionsLost")


def test_an_idle_environment_ends_at_once(start: Start) -> None:
    _, function = start()
    assert function.shut_down() == 0


@pytest.mark.parametrize("extensions", [True, False])
def test_sigterm_is_held_only_where_an_extension_is_registered(start: Start, extensions: bool) -> None:
    _, function = start(extensions=extensions)
    assert sigterm_is_blocked(function.pid) == extensions


def test_without_the_extensions_api_the_record_leaves_first_and_the_log_says_so_once(
    start: Start, aws: StubAws, event: dict[str, Any]
) -> None:
    api, function = start(extensions=False)
    answers = [prediction_id(api.invoke(event).body) for _ in range(2)]
    assert ids(aws.taken) == answers
    responses = [moment.at_ns for moment in api.moments if moment.name == "response"]
    assert all(aws.puts.get_nowait() < response for response in responses)
    assert function.output.count("no time after the response") == 1


def test_an_endpoint_may_have_its_record_delivered_before_the_response(
    start: Start, aws: StubAws, event: dict[str, Any]
) -> None:
    api, _ = start(QUICKSILVER_LOG_BEFORE_RESPONSE="true")
    aws.hold_stream()
    invocation = api.begin(event)
    aws.puts.get(timeout=10)
    assert not invocation.answered.is_set()
    aws.release_stream()
    answer = prediction_id(invocation.wait_over().body)
    assert set(ids(aws.taken)) == {answer}


def test_such_an_endpoint_makes_no_decision_that_neither_stream_nor_store_records(
    start: Start, aws: StubAws, event: dict[str, Any]
) -> None:
    api, function = start(QUICKSILVER_LOG_BEFORE_RESPONSE="true")
    # Given neither way out
    aws.stream_up = aws.store_up = False
    answer = api.invoke(event).body
    # Then there is no decision
    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["detail"].startswith("Decisions cannot be recorded now")
    assert counted(function, "RequestsUnanswered")
    # And no record of it goes out later
    aws.store_up = True
    second = prediction_id(api.invoke(event).body)
    aws.stream_up = True
    third = prediction_id(api.invoke(event).body)
    assert [ids(records) for records in aws.kept.values()] == [[second]]
    assert ids(aws.taken) == [third]
