"""The ladder: who answers when the model version that should cannot, and how the answer says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.errors import FeaturesLate, NotEvaluated
from quicksilver.evaluator import ExplainedBy
from quicksilver.ports import FeatureKey
from quicksilver.prediction import PredictionRecord, Status
from quicksilver.scoring import Caller
from tests.conftest import Trained, contract_content, train

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.serving import LoadedModel
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
    from quicksilver.contract import Contract

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


def test_the_declared_fallback_score_answers_when_no_model_can(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, bench.loaded_route().champion)
    declare_fallback(bench, 0.25)
    breaks(monkeypatch, bench.loaded_route().champion)
    record = score(bench, request_body)
    assert (record.status, record.score, record.raw_score) == (Status.FALLBACK, 0.25, None)
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
    from quicksilver.contract import Contract

    content = contract_content()
    content["features"][3] |= {"missing": "reject", "default": None}
    bench.put_champion(train(Contract.model_validate(content), seed=9).pack())
    bench.clock.advance_ms(10_000)
    bench.serving.refresh_if_due()
    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    with pytest.raises(FeaturesLate, match="txn_count_1h"):
        score(bench, request_body)


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


def test_the_archive_has_a_column_for_what_a_degraded_entry_names(bench: Bench, request_body: Body) -> None:
    from quicksilver.archive import PREDICTIONS

    assert PREDICTIONS.columns["degraded"] == (
        'STRUCT("feature" VARCHAR, "cause" VARCHAR, "policy" VARCHAR, "model" VARCHAR)[]'
    )
    assert PREDICTIONS.columns["explained_by"] == "VARCHAR"
