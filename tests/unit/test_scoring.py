"""The hot path on in-memory stores: what is answered, what is degraded, what is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quicksilver.errors import InvalidRequest, LogFull
from quicksilver.features import Cause
from quicksilver.prediction import Status
from quicksilver.scoring import Caller

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.prediction import PredictionRecord
    from tests.conftest import Trained
    from tests.unit.conftest import Bench

Body = dict[str, Any]
CALLER = Caller("request-1", "3")


def score(bench: Bench, body: Body) -> PredictionRecord:
    return bench.scorer.score(json.dumps(body), CALLER)


def causes(record: PredictionRecord) -> dict[str, Cause]:
    return {item.feature: item.cause for item in record.degraded}


def test_a_complete_request_is_scored_exactly_as_lightgbm_scores_its_vector(
    bench: Bench, request_body: Body, trained: Trained
) -> None:
    record = score(bench, request_body)
    vector = np.array([[812.5, 1.0, 1.0, 3.0, 55.5, 0.07]])
    assert record.vector == tuple(vector[0])
    assert record.raw_score == trained.booster.predict(vector, raw_score=True)[0]
    assert record.score == pytest.approx(trained.booster.predict(vector)[0], abs=1e-15)
    assert (record.status, record.degraded) == (Status.SCORED, ())


def test_contributions_equal_lightgbms_and_add_up(bench: Bench, request_body: Body, trained: Trained) -> None:
    record = score(bench, request_body)
    expected = trained.booster.predict(np.array([record.vector], dtype=float), pred_contrib=True)[0]
    assert [*record.contributions, record.expected_value] == pytest.approx(list(expected), rel=1e-12)
    assert sum(record.contributions) + record.expected_value == pytest.approx(record.raw_score, abs=1e-9)


def test_reasons_are_the_largest_adverse_contributions(bench: Bench, request_body: Body) -> None:
    record = score(bench, request_body)
    adverse = sorted((c for c in record.contributions if c > 0), reverse=True)
    assert [reason.contribution for reason in record.reasons] == adverse[:3]
    assert record.reasons[0].code == record.reasons[0].feature.upper()


def test_the_answer_names_its_whole_provenance(bench: Bench, request_body: Body, trained: Trained) -> None:
    record = score(bench, request_body)
    assert (record.model, record.route, record.schema_version) == ("card-fraud@1", 1, 3)
    assert record.arm.model_dump() == {
        "model": "card-fraud@1",
        "role": "champion",
        "share_bp": 10_000,
        "holdout": False,
    }
    assert record.fingerprint == trained.contract.fingerprint
    assert record.prediction_id[14] == "7"
    assert (record.request_id, record.function_version, record.stage) == ("request-1", "3", "test")


def test_an_arms_answer_names_the_arm_and_its_share(
    bench: Bench, request_body: Body, second_package: Package
) -> None:
    arm = bench.put_arm(second_package, share_bp=9_999, holdout_bp=1)
    record = score(bench, request_body)
    assert (record.model, record.route) == (arm, 2)
    assert record.arm.model_dump() == {"model": arm, "role": "canary", "share_bp": 9_999, "holdout": False}


def test_every_answer_has_exactly_one_record_and_it_says_the_same(bench: Bench, request_body: Body) -> None:
    record = score(bench, request_body)
    bench.log.flush()
    (entry,) = bench.stream.entries
    logged = json.loads(entry.data)
    assert logged["prediction_id"] == record.prediction_id
    assert (logged["raw_score"], logged["vector"]) == (record.raw_score, list(record.vector))


def test_a_missing_value_is_null_in_the_record(bench: Bench, request_body: Body) -> None:
    del request_body["features"]["channel"]
    score(bench, request_body)
    bench.log.flush()
    assert json.loads(bench.stream.entries[0].data)["vector"][1] is None


def test_an_entity_unknown_to_the_store_follows_each_features_policy(
    bench: Bench, request_body: Body
) -> None:
    record = score(bench, {**request_body, "entity_id": "card_unknown"})
    assert causes(record) == {"txn_count_1h": Cause.UNKNOWN_KEY, "amount_mean_7d": Cause.UNKNOWN_KEY}
    assert record.vector[3:5] == (0.0, None)
    assert record.status is Status.REFER


def test_a_group_without_a_key_is_named_so(bench: Bench, request_body: Body) -> None:
    record = score(bench, {**request_body, "keys": {}})
    assert causes(record) == {"merchant_risk": Cause.NO_KEY}
    assert record.status is Status.SCORED


def test_a_stale_value_is_never_served_as_fresh(bench: Bench, request_body: Body) -> None:
    bench.put_rows(age_ms=3_600_000)
    record = score(bench, request_body)
    assert causes(record) == {"txn_count_1h": Cause.STALE, "amount_mean_7d": Cause.STALE}
    assert record.feature_ages_ms == {"card": 3_600_000, "merchant": 3_600_000}
    assert (bench.metrics.counts["RequestsStale"], bench.metrics.counts["RequestsDegraded"]) == (1, 1)


def test_an_answer_that_is_degraded_for_another_cause_is_not_counted_as_stale(
    bench: Bench, request_body: Body
) -> None:
    score(bench, {**request_body, "keys": {}})
    assert bench.metrics.counts["RequestsDegraded"] == 1
    assert "RequestsStale" not in bench.metrics.counts


def test_a_value_one_millisecond_younger_than_its_limit_is_fresh(bench: Bench, request_body: Body) -> None:
    bench.put_rows(age_ms=3_599_999)
    assert score(bench, request_body).degraded == ()


def test_a_late_answer_is_named_late_and_not_unknown(bench: Bench, request_body: Body) -> None:
    from quicksilver.ports import FeatureKey

    bench.features.late = frozenset({FeatureKey("card", "card_1")})
    record = score(bench, request_body)
    assert causes(record) == {"txn_count_1h": Cause.LATE, "amount_mean_7d": Cause.LATE}


def test_a_stored_value_of_the_wrong_type_is_degraded_not_scored(bench: Bench, request_body: Body) -> None:
    bench.put_rows(amount_mean_7d="much")
    assert causes(score(bench, request_body)) == {"amount_mean_7d": Cause.INVALID}


def test_a_stored_row_without_a_feature_degrades_that_feature_alone(bench: Bench, request_body: Body) -> None:
    from quicksilver.ports import FeatureKey, FeatureRow

    bench.features.write(
        [FeatureRow(FeatureKey("card", "card_1"), bench.clock.now_ms(), {"amount_mean_7d": 1.0})]
    )
    assert causes(score(bench, request_body)) == {"txn_count_1h": Cause.ABSENT}


def test_an_unseen_category_follows_the_policy(bench: Bench, request_body: Body) -> None:
    request_body["features"]["channel"] = "telepathy"
    record = score(bench, request_body)
    assert causes(record) == {"channel": Cause.UNSEEN_CATEGORY}
    assert record.vector[1] is None


@pytest.mark.parametrize(
    ("features", "field", "reason"),
    [
        ({"amount": None}, "features.amount", "is absent"),
        ({"amount": -1}, "features.amount", "is out of range"),
        ({"amount": "12"}, "features.amount", "must be a number"),
        ({"amount": float("nan")}, "features.amount", "must be finite"),
        ({"amount": float("-inf")}, "features.amount", "must be finite"),
        ({"cross_border": "yes"}, "features.cross_border", "must be true or false"),
        ({"colour": "red"}, "features.colour", "is not a feature of this endpoint"),
        ({"txn_count_1h": 3}, "features.txn_count_1h", "is an online feature and is not sent by the caller"),
    ],
)
def test_a_refused_feature_is_named_with_its_reason(
    bench: Bench, request_body: Body, features: Body, field: str, reason: str
) -> None:
    request_body["features"] |= features
    with pytest.raises(InvalidRequest) as refusal:
        score(bench, request_body)
    assert [(item.field, item.reason) for item in refusal.value.fields] == [(field, reason)]
    assert bench.log.pending == 0


def test_a_number_too_large_for_a_float_is_not_finite(bench: Bench, request_body: Body) -> None:
    body = json.dumps(request_body).replace("812.5", "1e400")
    with pytest.raises(InvalidRequest) as refusal:
        bench.scorer.score(body, CALLER)
    assert [str(item) for item in refusal.value.fields] == ["features.amount: must be finite"]


def test_an_unknown_key_is_refused(bench: Bench, request_body: Body) -> None:
    request_body["keys"]["shop_id"] = "s"
    with pytest.raises(InvalidRequest) as refusal:
        score(bench, request_body)
    assert [item.field for item in refusal.value.fields] == ["keys.shop_id"]


def test_no_decision_is_made_whose_record_could_not_be_held(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quicksilver.delivery.MAX_PENDING", 1)
    bench.stream.refusing, bench.undelivered.available = True, False
    score(bench, request_body)
    bench.log.flush()
    with pytest.raises(LogFull):
        score(bench, request_body)
    bench.stream.refusing = False
    bench.log.flush()
    score(bench, request_body)


def test_a_record_that_must_come_first_and_is_not_taken_leaves_no_answer(
    bench: Bench, request_body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.log, "_before_response", True)
    bench.stream.refusing, bench.undelivered.available = True, False
    with pytest.raises(LogFull):
        score(bench, request_body)
    assert bench.log.pending == 0
    assert "RequestsScored" not in bench.metrics.counts
