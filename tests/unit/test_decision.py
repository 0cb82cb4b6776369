"""The ladder: who answers when the model version that should cannot, and how the answer says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.contract import Contract
from quicksilver.errors import FeaturesLate, InvalidRequest, NotEvaluated
from quicksilver.evaluator import ExplainedBy
from quicksilver.ports import FeatureKey
from quicksilver.prediction import PredictionRecord, Status
from quicksilver.routing import Role
from quicksilver.scoring import Caller
from tests.conftest import Trained, contract_content, train

if TYPE_CHECKING:
    from quicksilver.model_loader import LoadedModel
    from quicksilver.package import Package
    from tests.unit.conftest import Bench

Body = dict[str, Any]


def score(bench: Bench, body: Body) -> PredictionRecord:
    return bench.scorer.score(json.dumps(body), Caller("r-1", "1"))


def breaks(monkeypatch: pytest.MonkeyPatch, model: LoadedModel) -> None:
    def fail(_: object) -> Any:
        raise NotEvaluated("LightGBM failed to predict.")

    monkeypatch.setattr(model.evaluator, "evaluate", fail)
    monkeypatch.setattr(model.evaluator, "raw_score", fail)


def declare_fallback(bench: Bench, score: float, **reject: str) -> Trained:
    """A champion whose contract declares a fallback score."""
    content = {**contract_content(), "fallback_score": score}
    for feature in content["features"]:
        feature["missing"] = reject.get(feature["name"], feature["missing"])
        if feature["missing"] == "reject":
            feature.pop("default", None)
    trained = train(Contract.model_validate(content), seed=9)
    bench.put_champion(trained.pack())
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    bench.put_rows()
    return trained


def test_the_last_good_champion_answers_for_one_that_cannot(
    bench: Bench, request_body: Body, second_package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = score(bench, request_body)
    bench.put_champion(second_package)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    bench.put_rows()
    breaks(monkeypatch, bench.loaded_route().champion)
    record = score(bench, request_body)
    assert (record.model, record.raw_score, record.status) == (
        "card-fraud@1",
        before.raw_score,
        Status.SCORED,
    )
    assert (record.route, record.arm.model) == (2, "card-fraud@2")
    assert [item.model_dump() for item in record.degraded] == [
        {"model": "card-fraud@2", "cause": "not_evaluated", "policy": "last_good"}
    ]
    assert bench.metrics.counts["ModelsNotEvaluated"] == 1
    assert bench.metrics.counts["RequestsDegraded"] == 1


def test_what_was_not_read_for_a_last_good_champion_of_another_contract_is_late_and_not_absent(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.loaded_route()
    content = contract_content()
    content["features"][4] |= {"source": "request", "group": None, "max_age_seconds": None}
    bench.put_champion(train(Contract.model_validate(content), seed=9).pack())
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    bench.put_rows()
    breaks(monkeypatch, bench.loaded_route().champion)
    record = score(bench, request_body)
    assert (record.model, record.status) == ("card-fraud@1", Status.REFER)
    assert [tuple(item.model_dump().values()) for item in record.degraded] == [
        ("txn_count_1h", "late", "default"),
        ("amount_mean_7d", "late", "refer"),
        ("card-fraud@2", "not_evaluated", "last_good"),
    ]
    assert record.vector[5] == 0.07, "what was read for the champion is there for it too"


def test_the_declared_fallback_score_answers_when_no_model_can(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, bench.loaded_route().champion)
    declare_fallback(bench, 0.25)
    breaks(monkeypatch, bench.loaded_route().champion)
    record = score(bench, request_body)
    assert (record.status, record.score, record.raw_score) == (Status.FALLBACK, 0.25, None)
    assert record.arm.model == record.model == "card-fraud@2"
    assert (record.reasons, record.explained_by, record.contributions) == ((), None, None)
    assert [(item.model, item.cause, item.policy) for item in record.degraded] == [
        ("card-fraud@2", "not_evaluated", "fallback_score"),
        ("card-fraud@1", "not_evaluated", "fallback_score"),
    ]
    assert bench.metrics.counts["RequestsFallback"] == 1
    bench.log.flush()
    assert json.loads(bench.stream.entries[-1].data)["status"] == "fallback"


def test_with_no_rung_left_there_is_no_answer_and_no_record(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, bench.loaded_route().champion)
    with pytest.raises(NotEvaluated):
        score(bench, request_body)
    assert bench.log.pending == 0


def test_a_feature_that_may_not_be_late_is_answered_by_the_fallback_score(
    bench: Bench, request_body: Body
) -> None:
    declare_fallback(bench, 0.5, txn_count_1h="reject")
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    record = score(bench, request_body)
    assert (record.status, record.score) == (Status.FALLBACK, 0.5)
    assert [item.model_dump() for item in record.degraded] == [
        {"feature": "txn_count_1h", "cause": "late", "policy": "reject"},
        {"model": "card-fraud@2", "cause": "features_late", "policy": "fallback_score"},
    ]


def test_without_a_fallback_score_such_a_feature_leaves_the_request_unanswered(
    bench: Bench, request_body: Body
) -> None:
    content = contract_content()
    content["features"][3] |= {"missing": "reject", "default": None}
    bench.put_champion(train(Contract.model_validate(content), seed=9).pack())
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    with pytest.raises(FeaturesLate, match="txn_count_1h"):
        score(bench, request_body)


# -- an arm beside the champion --


def changed(feature: str, **change: Any) -> Package:
    """A package whose contract is the champion's but for one feature."""
    content = contract_content()
    row = next(row for row in content["features"] if row["name"] == feature)
    row |= change
    if row["missing"] == "reject":
        row.pop("default", None)
    contract = Contract.model_validate(content)
    return train(contract, seed=9, categorical=contract.names[1]).pack()


REFUSALS = {
    "a feature its contract does not know": ("channel", {"name": "colour"}, {}),
    "a value out of its range": ("amount", {"maximum": 800}, {}),
    "a type that is not its own": ("cross_border", {"type": "integer", "default": 0}, {}),
    "a feature that it insists on and callers leave out": (
        "channel",
        {"missing": "reject"},
        {"channel": None},
    ),
    "a stored value that it insists on and that is stale": (
        "txn_count_1h",
        {"missing": "reject", "max_age_seconds": 1},
        {},
    ),
}


@pytest.mark.parametrize("role", [Role.CANARY, Role.CHALLENGER])
@pytest.mark.parametrize(("feature", "change", "sent"), REFUSALS.values(), ids=REFUSALS)
def test_the_champion_answers_what_another_arms_contract_refuses(
    bench: Bench, request_body: Body, role: Role, feature: str, change: Body, sent: Body
) -> None:
    arm = bench.put_arm(changed(feature, **change), role)
    bench.put_rows(age_ms=1_000)
    request_body["features"] |= sent
    record = score(bench, request_body)
    assert (record.model, record.status) == ("card-fraud@1", Status.SCORED)
    assert (record.arm.model, record.arm.role, record.arm.share_bp) == (arm, role, 10_000)
    refused = [item.model_dump() for item in record.degraded if "model" in item.model_dump()]
    assert refused == [{"model": arm, "cause": "refused", "policy": "champion"}]
    assert record.fingerprint == bench.loaded_route().champion.contract.fingerprint
    assert "ModelsNotEvaluated" not in bench.metrics.counts


@pytest.mark.parametrize(
    "features", [{"amount": -1}, {"amount": "much"}, {"amount": None}, {"colour": "red"}, {"txn_count_1h": 3}]
)
def test_what_the_champions_contract_refuses_is_the_callers_mistake_whatever_the_arm(
    bench: Bench, request_body: Body, features: Body
) -> None:
    bench.put_arm(changed("amount", maximum=800))
    request_body["features"] |= features
    with pytest.raises(InvalidRequest):
        score(bench, request_body)
    assert bench.log.pending == 0, "no record, so nothing that could be counted against the arm"


def test_an_arm_may_take_values_that_the_champions_contract_refuses_but_no_names(
    bench: Bench, request_body: Body
) -> None:
    arm = bench.put_arm(changed("amount", minimum=-5))
    request_body["features"]["amount"] = -1
    assert score(bench, request_body).model == arm
    bench.put_arm(changed("channel", name="colour"))
    request_body["features"] |= {"channel": None, "colour": "red"}
    with pytest.raises(InvalidRequest) as refusal:
        score(bench, request_body)
    assert [item.field for item in refusal.value.fields] == ["features.colour"]


def test_the_champion_answers_where_a_feature_that_another_arm_insists_on_is_late(
    bench: Bench, request_body: Body
) -> None:
    arm = bench.put_arm(changed("txn_count_1h", missing="reject"))
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    record = score(bench, request_body)
    assert (record.model, record.arm.model) == ("card-fraud@1", arm)
    assert [item.model_dump() for item in record.degraded] == [
        {"feature": "txn_count_1h", "cause": "late", "policy": "default"},
        {"feature": "amount_mean_7d", "cause": "late", "policy": "refer"},
        {"model": arm, "cause": "features_late", "policy": "champion"},
    ]


def test_the_champion_answers_for_an_arm_that_gives_no_score_by_rows_that_were_read_for_it(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arm reads one group less than the champion, whose features are there all the same."""
    content = contract_content()
    content["features"][5] |= {"source": "request", "group": None, "max_age_seconds": None}
    del content["groups"]["merchant"]
    alone = score(bench, request_body)
    arm = bench.put_arm(train(Contract.model_validate(content), seed=9).pack())
    breaks(monkeypatch, bench.loaded_route().models[bench.loaded_route().route.arms[1].package_sha256])
    record = score(bench, request_body)
    assert (record.model, record.raw_score, record.vector) == (alone.model, alone.raw_score, alone.vector)
    assert [item.model_dump() for item in record.degraded] == [
        {"model": arm, "cause": "refused", "policy": "champion"}
    ], "the request names a key that the arm's contract does not know"
    del request_body["keys"]
    causes = [(item.model_dump().get("model"), item.cause) for item in score(bench, request_body).degraded]
    assert causes == [(None, "no_key"), (arm, "not_evaluated")]


def test_with_arm_and_champion_failing_the_declared_score_of_the_champion_answers(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, bench.loaded_route().champion)
    declare_fallback(bench, 0.25)
    arm = bench.put_arm(changed("amount", maximum=800))
    breaks(monkeypatch, bench.loaded_route().champion)
    record = score(bench, request_body)
    assert (record.status, record.score, record.model, record.arm.model) == (
        Status.FALLBACK,
        0.25,
        "card-fraud@2",
        arm,
    )
    assert [(item.model, item.cause, item.policy) for item in record.degraded] == [
        (arm, "refused", "fallback_score"),
        ("card-fraud@2", "not_evaluated", "fallback_score"),
        ("card-fraud@1", "not_evaluated", "fallback_score"),
    ]


def test_with_arm_and_champion_failing_and_no_declared_score_the_champions_failure_is_the_answer(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put_arm(changed("txn_count_1h", missing="reject"))
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    breaks(monkeypatch, bench.loaded_route().champion)
    with pytest.raises(NotEvaluated):
        score(bench, request_body)
    assert bench.log.pending == 0


def test_a_feature_that_champion_and_arm_insist_on_and_that_is_late_leaves_both_named(
    bench: Bench, request_body: Body
) -> None:
    trained = declare_fallback(bench, 0.5, txn_count_1h="reject")
    arm = bench.put_arm(train(trained.contract, seed=10).pack())
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    record = score(bench, request_body)
    assert (record.status, record.score) == (Status.FALLBACK, 0.5)
    assert [item.model_dump() for item in record.degraded] == [
        {"feature": "txn_count_1h", "cause": "late", "policy": "reject"},
        {"model": arm, "cause": "features_late", "policy": "fallback_score"},
        {"model": "card-fraud@2", "cause": "features_late", "policy": "fallback_score"},
    ]


def test_an_arm_that_was_the_champion_before_is_asked_once(
    bench: Bench,
    request_body: Body,
    package: Package,
    second_package: Package,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench.loaded_route()
    bench.put_champion(second_package)
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    bench.put_arm(package)
    loaded = bench.loaded_route()
    assert loaded.last_good is loaded.models[package.sha256]
    for model in loaded.models.values():
        breaks(monkeypatch, model)
    with pytest.raises(NotEvaluated):
        score(bench, request_body)
    assert bench.metrics.counts["ModelsNotEvaluated"] == 2


def test_an_entity_of_the_holdout_is_the_champions_and_its_record_says_why(
    bench: Bench, request_body: Body, second_package: Package
) -> None:
    bench.put_arm(second_package, holdout_bp=10_000)
    record = score(bench, request_body)
    assert record.model == "card-fraud@1"
    assert record.arm.model_dump() == {
        "model": "card-fraud@1",
        "role": "champion",
        "share_bp": 0,
        "holdout": True,
    }


def test_an_answer_by_an_outdated_route_says_so(
    bench: Bench, request_body: Body, second_package: Package
) -> None:
    score(bench, request_body)
    bench.put_champion(second_package)
    bench.clock.advance_ms(60_000)
    bench.put_rows()
    record = score(bench, request_body)
    assert record.model == "card-fraud@1"
    assert [item.model_dump() for item in record.degraded] == [
        {"model": "card-fraud@2", "cause": "outdated", "policy": "last_good"}
    ]


def test_contributions_by_lightgbm_are_counted_because_they_cost_a_hundred_times_as_much(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert score(bench, request_body).explained_by is ExplainedBy.KERNEL
    assert "ExplainedByLightGBM" not in bench.metrics.counts
    right = __import__("quicksilver.kernel").kernel.Worker.__call__
    monkeypatch.setattr(
        "quicksilver.kernel.Worker.__call__", lambda self: [right(self)[0] + 1e-3, *right(self)[1:]]
    )
    assert score(bench, request_body).explained_by is ExplainedBy.LIGHTGBM
    assert bench.metrics.counts["ExplainedByLightGBM"] == 1
    assert bench.metrics.counts["AdditivityFailed"] == 1


def test_contributions_that_nobody_can_make_add_up_are_counted_beside_the_model_that_gave_them(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quicksilver.evaluator._add_up", lambda *_: False)
    with pytest.raises(NotEvaluated):
        score(bench, request_body)
    assert bench.metrics.counts["AdditivityFailed"] == bench.metrics.counts["ModelsNotEvaluated"] == 1


def test_a_model_that_the_kernel_refuses_is_no_failure_of_additivity(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quicksilver.evaluator._kernel", lambda _: None)
    assert score(bench, request_body).explained_by is ExplainedBy.LIGHTGBM
    assert "AdditivityFailed" not in bench.metrics.counts


def test_the_archive_has_a_column_for_what_a_degraded_entry_names(bench: Bench, request_body: Body) -> None:
    from quicksilver.archive import PREDICTIONS
    from quicksilver.column_types import duckdb_type

    columns = {name: duckdb_type(kind) for name, kind in PREDICTIONS.columns.items()}
    assert columns["degraded"] == (
        'STRUCT("feature" VARCHAR, "cause" VARCHAR, "policy" VARCHAR, "model" VARCHAR)[]'
    )
    assert columns["explained_by"] == "VARCHAR"
