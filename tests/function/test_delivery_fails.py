"""The stream, and the store behind it, refusing, hanging and gone: no answer waits for them, and no record is lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.function.caller import BODY, Caller
from tests.function.faults import Fault, error_page, hang, nonsense, reset, some_refused, throttled, unheard
from tests.function.scripted_aws import ScriptedAws, ids

BATCH = {"rows": [BODY] * 10}


def kept_under(aws: ScriptedAws, prediction_id: str) -> list[list[dict[str, Any]]]:
    """The batches in the store whose first record is this prediction's."""
    return [
        batch for key, batch in aws.kept.items() if key.startswith(f"undelivered/card-fraud/{prediction_id}-")
    ]


@pytest.mark.parametrize("fault", [throttled, error_page, reset, nonsense])
def test_one_failed_attempt_is_made_again(caller: Caller, aws: ScriptedAws, fault: Fault) -> None:
    with aws.in_turn("PutRecords", fault):
        caller.ask()
    assert ids(aws.taken)[-1] == caller.given[-1]
    assert caller.counted("PredictionsUndelivered") == 0


@pytest.mark.parametrize("fault", [throttled, error_page, reset, nonsense])
def test_a_stream_that_only_fails_leaves_the_record_in_the_store(
    caller: Caller, aws: ScriptedAws, fault: Fault
) -> None:
    with aws.failing("PutRecords", fault):
        answer = caller.ask()
    assert len(kept_under(aws, answer.content["prediction_id"])) == 1
    assert caller.counted("PredictionsUndelivered") == 1


def test_a_put_whose_answer_is_lost_leaves_a_copy_and_loses_nothing(caller: Caller, aws: ScriptedAws) -> None:
    with aws.in_turn("PutRecords", unheard):
        answer = caller.ask()
    assert ids(aws.taken).count(answer.content["prediction_id"]) == 2
    assert caller.counted("PredictionsUndelivered") == 0


def test_a_stream_that_throttles_some_records_gets_those_again_and_no_others(
    caller: Caller, aws: ScriptedAws
) -> None:
    # Given a stream that refuses the first, third, fifth ... record it is given
    with aws.failing("PutRecords", some_refused):
        answer = caller.ask(BATCH, batch=True)
    # Then of ten it takes five, then of five two, then of three one, and two go to the store
    assert answer.content["scored"] == 10
    assert caller.counted("PredictionsUndelivered") == 2
    assert len(aws.kept[list(aws.kept)[-1]]) == 2


def test_a_stream_that_hangs_keeps_no_answer_waiting(caller: Caller, aws: ScriptedAws) -> None:
    with aws.failing("PutRecords", hang):
        invocation = caller.begin()
        assert caller.answered(invocation).status == 200
        assert not invocation.over.is_set()
        # The environment is free again when the store has the record.
        invocation.wait_over(60)
    assert caller.counted("PredictionsUndelivered") == 1


def test_what_neither_takes_is_delivered_when_one_is_back(caller: Caller, aws: ScriptedAws) -> None:
    with aws.away("kinesis"):
        with aws.away("s3"):
            asked = [caller.ask() for _ in range(2)]
            assert [answer.status for answer in asked] == [200, 200]
            assert not set(caller.given[-2:]) & set(aws.recorded)
            assert caller.counted("PredictionsPending") == 1 + 2
        # When the store is back, the next request's delivery takes all three.
        caller.ask()
        assert set(caller.given[-3:]) <= set(aws.recorded)
    assert [len(batch) for batch in kept_under(aws, caller.given[-3])] == [3]


def test_what_neither_takes_reaches_the_stream_when_that_is_back(caller: Caller, aws: ScriptedAws) -> None:
    with aws.failing("PutRecords", throttled), aws.failing("PutObject", throttled):
        caller.ask()
        caller.ask(BATCH, batch=True)
        assert not set(caller.given[-11:]) & set(aws.recorded)
    caller.ask()
    assert ids(aws.taken)[-12:] == caller.given[-12:]
