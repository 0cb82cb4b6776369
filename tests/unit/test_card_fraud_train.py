"""The example's model is good, repeatable, and scored on replay with exactly the vectors of training time."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from examples.card_fraud.draft import NO_DEVICE
from examples.card_fraud.metrics import evaluate
from examples.card_fraud.replay import Replay, select_replay
from examples.card_fraud.simulator import SimulationConfig
from examples.card_fraud.train import Trained, fit, train
from quicksilver.evaluation_file import open_evaluation
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.features import Cause, build_vector, check_names, feature_keys
from quicksilver.frame import encode_rows
from quicksilver.package import check_model
from quicksilver.ports import FeatureReading
from quicksilver.request import parse_request

SMALL = SimulationConfig(transactions=25_000, cards=1_500, days=40)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(SMALL, rounds=60, leaves=15, threads=1)


@pytest.fixture(scope="module")
def replay(trained: Trained) -> Replay:
    return select_replay(trained.contract, trained.transactions, trained.frame, n=400)


def test_the_model_beats_0_85_and_the_amount_alone(trained: Trained) -> None:
    amount = trained.held_out.vectors[:, trained.contract.names.index("amount")]
    baseline = evaluate(amount / amount.max(), trained.held_out.outcomes)["auc"]
    assert trained.metrics["auc"] > max(0.85, baseline + 0.1)
    assert trained.metrics["auc"] < 0.995, "outcomes carry noise: perfection is a leak"


def test_held_out_rows_come_after_all_training_rows(trained: Trained) -> None:
    event_ms = trained.transactions.event_ms
    assert event_ms[trained.training.index].max() < event_ms[trained.held_out.index].min()


def test_the_same_rows_give_the_same_model_text(trained: Trained) -> None:
    again = fit(trained.contract, trained.training, rounds=60, leaves=15, threads=1)
    assert again.model_to_string() == trained.booster.model_to_string()


def test_metrics_agree_with_scikit_learn_on_tied_scores() -> None:
    # Golden numbers: roc_auc_score, roc_curve, brier_score_loss and log_loss of scikit-learn 1.9.1.
    scores = np.array([0.1, 0.4, 0.4, 0.8, 0.8, 0.2, 0.9, 0.05])
    outcomes = np.array([False, True, False, True, False, False, True, False])
    expected = {"auc": 0.8666666666666667, "ks": 0.6, "brier": 0.1578125, "log_loss": 0.4681069620507336}
    assert evaluate(scores, outcomes) == pytest.approx(expected, rel=1e-12)


def test_metrics_refuse_rows_with_one_outcome_only() -> None:
    with pytest.raises(ValueError, match="both outcomes"):
        evaluate(np.array([0.1, 0.2]), np.array([True, True]))


def test_a_replay_through_the_contract_gives_the_vectors_of_training_time(
    trained: Trained, replay: Replay
) -> None:
    now_ms = 1_800_000_000_000
    store = {row.key: row for row in replay.feature_rows(as_of_ms=now_ms - 60_000)}
    for row in replay.rows:
        request = parse_request(json.dumps(row.body))
        check_names(trained.contract, request)
        keys = feature_keys(trained.contract, request)
        reading = FeatureReading({key: store[key] for key in keys.values() if key in store})
        vector = build_vector(trained.contract, request, keys, reading, now_ms)
        assert np.array(vector.values).tobytes() == np.array(row.vector).tobytes()
        assert not {item.cause for item in vector.degraded} & {Cause.INVALID, Cause.STALE, Cause.OUT_OF_RANGE}


def test_a_replay_has_distinct_cards_and_devices_on_one_day(trained: Trained, replay: Replay) -> None:
    t, rows = trained.transactions, np.array([row.row for row in replay.rows])
    devices = t.device[rows][t.device[rows] != NO_DEVICE]
    assert len(rows) == len(np.unique(t.card[rows])) == 400
    assert len(devices) == len(np.unique(devices)) > 0
    assert set(t.day[rows].tolist()) == {SMALL.days - 1}


def test_a_replay_follows_its_seed(trained: Trained, replay: Replay) -> None:
    def chosen(seed: int) -> list[int]:
        picked = select_replay(trained.contract, trained.transactions, trained.frame, n=400, seed=seed)
        return [row.row for row in picked.rows]

    assert chosen(7) == [row.row for row in replay.rows]
    assert chosen(8) != chosen(7)


def test_a_replay_larger_than_its_day_is_refused(trained: Trained) -> None:
    with pytest.raises(ValueError, match="to replay, not 100000"):
        select_replay(trained.contract, trained.transactions, trained.frame, n=100_000)


def test_stored_values_are_plain_and_finite(replay: Replay) -> None:
    for row in replay.feature_rows(as_of_ms=0):
        for name, value in row.values.items():
            assert type(value) in (int, float, bool, str), name
            assert isinstance(value, str) or math.isfinite(value), name


def test_the_trained_model_packs(trained: Trained) -> None:
    package = trained.pack()
    check_model(package, LightGBMEvaluator(package.model_text))
    assert (len(package.golden_rows), package.reference.rows) == (200, len(trained.held_out))
    assert package.metrics == trained.metrics


def test_the_evaluation_rows_are_the_held_out_ones_with_groups_that_models_never_see(
    trained: Trained,
) -> None:
    data = open_evaluation(trained.evaluation())
    encoded = encode_rows(trained.contract, data.frame(trained.contract))
    assert encoded.vectors.tobytes() == trained.held_out.vectors.tobytes()
    assert data.target.tolist() == trained.held_out.outcomes.tolist()
    assert data.groups("sex").names == ("female", "male", "unknown")
    assert data.groups("age_band").names == ("30-to-59", "over-59", "under-30", "unknown")
    assert not {"sex", "age_band"} & set(trained.contract.names)
