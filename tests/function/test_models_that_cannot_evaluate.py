"""A champion that gives no usable score for a vector: the next rung answers, marked, or nobody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.stocking import artifact_store
from quicksilver.contract import Contract
from quicksilver.routing import Arm, Role
from tests.approvals import GRACE, bring_to_approved
from tests.conftest import contract_content, train
from tests.function.bad_models import overflowing, with_model
from tests.function.caller import AMOUNT, MEAN_AMOUNT, Caller, put_champion
from tests.function.scripted_aws import ScriptedAws, ids

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.registry import Registry
    from tests.conftest import Trained
    from tests.function.conftest import Start

VECTOR = (AMOUNT, 1.0, 1.0, 3.0, MEAN_AMOUNT, 0.07)
"""The caller's, in contract order."""


@pytest.fixture(scope="module")
def overflow(trained: Trained, package: Package) -> Package:
    return with_model(package, overflowing(trained.booster, VECTOR))


@pytest.fixture(scope="module")
def environment(start: Start) -> Caller:
    return start(QUICKSILVER_ROUTE_REFRESH_SECONDS="1")


def test_the_last_good_champion_answers_for_one_that_cannot(
    caller: Caller, aws: ScriptedAws, registry: Registry, package: Package, overflow: Package
) -> None:
    good = caller.ask().content["model"]
    bad = put_champion(aws, registry, overflow).champion.model
    answer = caller.ask_until(lambda answer: bool(answer.degraded))
    assert answer.degraded == {(bad, "not_evaluated")}
    assert (answer.content["model"], answer.content["status"]) == (good, "scored")
    assert caller.counted("ModelsNotEvaluated") == 1
    put_champion(aws, registry, package)
    caller.ask_until_as_usual()


def test_the_champion_answers_for_a_canary_that_cannot(
    caller: Caller, aws: ScriptedAws, registry: Registry, package: Package, overflow: Package
) -> None:
    champion = registry.current_route("card-fraud").champion
    artifact_store(aws).put(overflow.sha256, overflow.files)
    bad = bring_to_approved(registry, overflow)
    canary = Arm(model=bad, package_sha256=overflow.sha256, role=Role.CANARY, share_bp=10_000)
    none = champion.model_copy(update={"share_bp": 0})
    registry.set_route("card-fraud", [none, canary], reason="Let it answer everybody.", who=GRACE)
    answer = caller.ask_until(lambda answer: answer.content["arm"]["role"] == "canary")
    assert answer.degraded == {(bad, "not_evaluated")}
    assert (answer.content["model"], answer.content["arm"]["model"]) == (champion.model, bad)
    registry.set_route("card-fraud", [champion], reason="Take it back.", who=GRACE)
    caller.ask_until_as_usual()


def test_without_another_model_and_without_a_declared_score_there_is_no_decision(
    start: Start, aws: ScriptedAws, registry: Registry, package: Package, overflow: Package
) -> None:
    put_champion(aws, registry, overflow)
    caller = start()
    answer = caller.ask()
    assert answer.status == 503
    assert answer.content["detail"].startswith("The model version could not be evaluated")
    assert caller.counted("RequestsUnavailable") == caller.counted("ModelsNotEvaluated") == 1
    caller.assert_nothing_said()
    put_champion(aws, registry, package)


def test_the_declared_score_answers_where_no_model_can(
    start: Start, aws: ScriptedAws, registry: Registry, package: Package
) -> None:
    trained = train(Contract.model_validate({**contract_content(), "fallback_score": 0.25}))
    overflow = with_model(trained.pack(), overflowing(trained.booster, VECTOR))
    bad = put_champion(aws, registry, overflow).champion.model
    caller = start()
    answer = caller.ask()
    assert (answer.status, answer.content["status"], answer.content["score"]) == (200, "fallback", 0.25)
    assert answer.degraded == {(bad, "not_evaluated")}
    assert caller.counted("RequestsFallback") == 1
    assert ids(aws.taken)[-1] == caller.given[-1]
    caller.assert_nothing_said()
    put_champion(aws, registry, package)
