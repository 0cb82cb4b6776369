"""The response leaves first, and its record is never lost."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.function.faults import Fault, hang, held, throttled
from tests.function.scripted_aws import ScriptedAws, ids

if TYPE_CHECKING:
    from tests.function.caller import Caller
    from tests.function.conftest import Start


@pytest.fixture(autouse=True)
def _only_this_tests_records(aws: ScriptedAws) -> None:
    aws.taken.clear()
    aws.kept.clear()
    while not aws.puts.empty():
        aws.puts.get()


def responses_at_ns(caller: Caller) -> list[int]:
    return [moment.at_ns for moment in caller.api.moments if moment.name == "response"]


def sigterm_is_blocked(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    blocked = next(line.split()[1] for line in status if line.startswith("SigBlk:"))
    return bool(int(blocked, 16) & 1 << (signal.SIGTERM - 1))


def test_the_response_leaves_before_its_record_does(start: Start, aws: ScriptedAws) -> None:
    caller = start()
    assert caller.api.extensions == ("quicksilver",)
    for _ in range(30):
        caller.ask()
    assert ids(aws.taken) == caller.given
    puts = [aws.puts.get_nowait() for _ in caller.given]
    assert all(response < put for response, put in zip(responses_at_ns(caller), puts, strict=True))


def test_no_response_waits_for_the_stream_and_the_environment_does(start: Start, aws: ScriptedAws) -> None:
    # Given a stream that does not answer
    caller = start()
    with aws.failing("PutRecords", held):
        # When a request comes
        invocation = caller.begin()
        # Then it is answered
        assert caller.answered(invocation).status == 200
        # And the environment is busy until the stream has its record
        aws.puts.get(timeout=10)
        assert not invocation.over.is_set()
        assert aws.taken == []
    invocation.wait_over()
    assert set(caller.given) == set(ids(aws.taken))


@pytest.mark.parametrize("fault", [throttled, hang])
def test_what_is_pending_when_lambda_ends_the_environment_reaches_the_store(
    start: Start, aws: ScriptedAws, fault: Fault
) -> None:
    # Given a record that neither way out took
    caller = start()
    with aws.failing("PutRecords", throttled), aws.failing("PutObject", throttled):
        caller.ask()
    # When the store is back, the stream is not, and Lambda ends the environment
    with aws.failing("PutRecords", fault):
        code = caller.function.shut_down()
    # Then the process ended by itself in time, and the store has the record
    assert code == 0
    assert [ids(records) for records in aws.kept.values()] == [caller.given]


def test_records_that_nothing_takes_until_the_end_are_counted_and_said(
    start: Start, aws: ScriptedAws
) -> None:
    caller = start()
    with aws.failing("PutRecords", throttled), aws.failing("PutObject", throttled):
        caller.ask()
        caller.function.shut_down()
    assert "records lost with their environment" in caller.function.output
    assert caller.counted("PredictionsLost") == 1


@pytest.mark.parametrize("extensions", [True, False])
def test_sigterm_is_held_only_where_an_extension_is_registered_and_an_idle_environment_ends_at_once(
    start: Start, extensions: bool
) -> None:
    function = start(extensions=extensions).function
    assert sigterm_is_blocked(function.pid) == extensions
    assert function.shut_down() == (0 if extensions else -signal.SIGKILL)


def test_without_the_extensions_api_the_record_leaves_first_and_the_log_says_so_once(
    start: Start, aws: ScriptedAws
) -> None:
    caller = start(extensions=False)
    for _ in range(2):
        caller.ask()
    assert ids(aws.taken) == caller.given
    assert all(aws.puts.get_nowait() < response for response in responses_at_ns(caller))
    assert caller.function.output.count("no time after the response") == 1


def test_an_endpoint_may_have_its_record_delivered_before_the_response(
    start: Start, aws: ScriptedAws
) -> None:
    caller = start(QUICKSILVER_LOG_BEFORE_RESPONSE="true")
    with aws.failing("PutRecords", held):
        invocation = caller.begin()
        aws.puts.get(timeout=10)
        assert not invocation.answered.is_set()
    invocation.wait_over()
    caller.answered(invocation)
    assert set(ids(aws.taken)) == set(caller.given)


def test_such_an_endpoint_makes_no_decision_that_neither_stream_nor_store_records(
    start: Start, aws: ScriptedAws
) -> None:
    caller = start(QUICKSILVER_LOG_BEFORE_RESPONSE="true")
    with aws.failing("PutRecords", throttled):
        # Given neither way out
        with aws.failing("PutObject", throttled):
            answer = caller.ask()
        # Then there is no decision
        assert answer.status == 503
        assert answer.content["detail"].startswith("Decisions cannot be recorded now")
        assert caller.counted("RequestsUnanswered") == 1
        # And no record of it goes out later
        caller.ask()
    caller.ask()
    second, third = caller.given
    assert [ids(records) for records in aws.kept.values()] == [[second]]
    assert ids(aws.taken) == [third]
