"""The registry, the packages or the key away when an environment starts, and the registry while it answers."""

from __future__ import annotations

import pytest

from tests.function.caller import MARGIN, Caller
from tests.function.conftest import Start
from tests.function.faults import Fault, hang, reset, throttled
from tests.function.scripted_aws import ScriptedAws


@pytest.fixture(scope="module")
def environment(start: Start) -> Caller:
    """Its route is in doubt a second after it was confirmed."""
    return start(QUICKSILVER_ROUTE_REFRESH_SECONDS="1", QUICKSILVER_ROUTE_MAX_AGE_SECONDS="1")


@pytest.mark.parametrize(
    ("operation", "fault"), [("GetItem", hang), ("GetObject", reset), ("Verify", throttled)]
)
def test_an_environment_that_can_load_nothing_at_its_start_says_so_and_loads_later(
    start: Start, aws: ScriptedAws, operation: str, fault: Fault
) -> None:
    with aws.failing(operation, fault):
        caller = start()
        answer = caller.ask()
    assert answer.status == 503
    assert answer.content["detail"] == "No model version can answer now; try again."
    assert caller.counted("RequestsUnavailable") == caller.counted("RequestsUnanswered") == 1
    assert caller.counted("RouteRefreshFailed") >= 1
    caller.ask_until(lambda answer: not answer.degraded, statuses=(200, 503))
    assert set(caller.given) <= set(aws.recorded)
    caller.assert_nothing_said()
    aws.forget(caller.given)


@pytest.mark.parametrize("fault", [throttled, hang])
def test_a_registry_that_fails_costs_no_answer_and_answers_say_that_their_route_is_unconfirmed(
    caller: Caller, aws: ScriptedAws, fault: Fault
) -> None:
    good = caller.ask().content["model"]
    with aws.failing("GetItem", fault):
        answer = caller.ask_until(lambda answer: bool(answer.degraded))
        assert answer.degraded == {(good, "unconfirmed")}
        assert (answer.content["model"], answer.content["status"]) == (good, "scored")
        assert answer.seconds < 2 * MARGIN
    assert caller.counted("RouteRefreshFailed") >= 1
    assert caller.counted("RequestsDegraded") >= 1
    caller.ask_until_as_usual()
