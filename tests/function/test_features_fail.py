"""The feature store throttled, slow, gone or partly answering: the decision is made in time, and says what it lacked."""

from __future__ import annotations

import pytest

from tests.function.caller import BODY, MARGIN, Caller
from tests.function.faults import Fault, error_page, hang, nonsense, reset, slow, throttled, unprocessed
from tests.function.scripted_aws import ScriptedAws

LATE = {("txn_count_1h", "late"), ("amount_mean_7d", "late"), ("merchant_risk", "late")}
CARD_LATE = {("txn_count_1h", "late"), ("amount_mean_7d", "late")}


@pytest.mark.parametrize("fault", [throttled, error_page, reset, nonsense, unprocessed])
def test_one_failed_attempt_costs_no_feature(caller: Caller, aws: ScriptedAws, fault: Fault) -> None:
    with aws.in_turn("BatchGetItem", fault):
        answer = caller.ask()
    assert (answer.status, answer.content["degraded"]) == (200, [])
    assert caller.counted("FeatureReadsFailed") == (fault is not unprocessed)


@pytest.mark.parametrize("fault", [throttled, error_page, reset, nonsense])
def test_a_store_that_only_fails_makes_its_features_late(
    caller: Caller, aws: ScriptedAws, fault: Fault
) -> None:
    with aws.failing("BatchGetItem", fault):
        answer = caller.ask(deadline_ms=600)
    assert (answer.status, answer.content["status"]) == (200, "refer")
    assert answer.degraded == LATE
    assert answer.seconds < 0.6 * MARGIN
    assert caller.counted("FeatureReadsFailed") > 1
    assert caller.counted("RequestsDegraded") == 1


def test_keys_that_are_never_processed_are_late_and_the_others_are_used(
    caller: Caller, aws: ScriptedAws
) -> None:
    # The first key asked for is the card's.
    with aws.failing("BatchGetItem", unprocessed):
        answer = caller.ask(deadline_ms=600)
    assert answer.degraded == CARD_LATE
    assert answer.content["feature_ages_ms"].keys() == {"merchant"}
    assert answer.seconds < 0.6 * MARGIN


def test_a_slow_store_that_answers_in_time_costs_no_feature(caller: Caller, aws: ScriptedAws) -> None:
    with aws.failing("BatchGetItem", slow):
        caller.assert_as_usual()
    assert caller.counted("FeatureReadsFailed") == 0


def test_a_store_that_hangs_is_left_at_the_deadline(caller: Caller, aws: ScriptedAws) -> None:
    with aws.failing("BatchGetItem", hang):
        answer = caller.ask()
    assert (answer.status, answer.degraded) == (200, LATE)
    assert answer.seconds < 2 * MARGIN


def test_a_caller_in_a_hurry_is_answered_sooner(caller: Caller, aws: ScriptedAws) -> None:
    with aws.failing("BatchGetItem", hang):
        answer = caller.ask(deadline_ms=150)
        assert (answer.status, answer.degraded) == (200, LATE)
        assert answer.seconds < 2
    # And what the store says at last is not taken for the next request's answer.
    caller.assert_as_usual()


def test_a_store_at_which_nobody_listens_makes_its_features_late(caller: Caller, aws: ScriptedAws) -> None:
    with aws.away("dynamodb"):
        answer = caller.ask(deadline_ms=600)
    assert (answer.status, answer.degraded) == (200, LATE)
    assert caller.counted("FeatureReadsFailed") > 0


def test_a_batch_is_answered_whole_when_the_store_only_throttles(caller: Caller, aws: ScriptedAws) -> None:
    with aws.failing("BatchGetItem", throttled):
        answer = caller.ask({"rows": [BODY] * 3}, deadline_ms=600, batch=True)
    assert [result["prediction"]["status"] for result in answer.content["results"]] == ["refer"] * 3
    assert caller.counted("RequestsDegraded") == 3
