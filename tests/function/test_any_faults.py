"""Faults in any order, in every call that a request can cause: whatever comes, an answer, its record and no secret."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tests.function.caller import MARGIN, Caller
from tests.function.conftest import Start
from tests.function.faults import (
    Fault,
    error_page,
    hang,
    nonsense,
    passed_on,
    reset,
    slow,
    some_refused,
    throttled,
    unprocessed,
)
from tests.function.scripted_aws import ScriptedAws

DEADLINE_MS = 600
ANYWHERE: list[Fault] = [passed_on, throttled, error_page, reset, slow, hang]
# PutObject's answer says nothing but its status, so there is no nonsense to it.
CALLS = {
    "GetItem": [*ANYWHERE, nonsense],
    "BatchGetItem": [*ANYWHERE, nonsense, unprocessed],
    "PutRecords": [*ANYWHERE, nonsense, some_refused],
    "PutObject": ANYWHERE,
}
SCHEDULES = {call: st.lists(st.sampled_from(faults), max_size=6) for call, faults in CALLS.items()}


@pytest.fixture(scope="module")
def environment(start: Start) -> Caller:
    return start(QUICKSILVER_ROUTE_REFRESH_SECONDS="1", QUICKSILVER_ROUTE_MAX_AGE_SECONDS="1")


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(schedule=st.fixed_dictionaries(SCHEDULES), requests=st.integers(1, 4))
def test_every_request_is_answered_in_time_and_every_decision_is_recorded_once(
    environment: Caller, aws: ScriptedAws, schedule: dict[str, list[Fault]], requests: int
) -> None:
    with aws.scripted(schedule):
        for _ in range(requests):
            answer = environment.ask(deadline_ms=DEADLINE_MS)
            assert answer.status == 200, answer  # it holds a model, so it can always decide
            assert answer.seconds < DEADLINE_MS / 1_000 * MARGIN
    environment.ask_until_as_usual()
    environment.assert_nothing_lost()
    environment.assert_nothing_said()
