"""Real mortgages (HMDA): a champion whose world changes is worse there, and its retrained successor is not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from quicksilver.batch_scores import scores
from quicksilver.evaluation_file import open_evaluation
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.retraining.train import train_candidate
from quicksilver.retraining.training_set import read_training_set
from tests.real_mortgages import FILE, NUMBERS, features, hand_over
from tests.retraining import request_for, set_file

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FILE.is_file(), reason="the folder with real data is absent"),
]

ROWS = 40_000


def test_retrained_on_drifted_rows_it_ranks_better_there_by_scikit_learns_own_count() -> None:
    # Given a champion, and later rows whose incomes and property values are recorded otherwise from one day on
    mortgages = hand_over()
    rest = mortgages.raw.iloc[:ROWS]
    drifted = features(rest).astype(float).to_numpy()
    for name in ("income_std", "property_value_std"):
        place = mortgages.package.contract.names.index(name)
        assert name in NUMBERS
        drifted[:, place] = 1.5 - 2.0 * drifted[:, place]
    labels = rest["high_priced"].to_numpy()
    # When a candidate is trained on them
    contract = mortgages.package.contract
    rows = read_training_set(set_file(drifted, labels), contract)
    candidate = train_candidate(rows, mortgages.package, request_for(contract), threads=1)
    # Then, on the latest rows, it ranks better than the champion, and as its package says
    data = open_evaluation(candidate.evaluation)
    vectors, held_out = data.encode(contract).vectors, data.target
    assert np.array_equal(held_out, labels[-len(held_out) :] == 1)
    auc = {
        name: roc_auc_score(held_out, scores(LightGBMEvaluator(package.model_text), vectors))
        for name, package in (("champion", mortgages.package), ("candidate", candidate.package))
    }
    assert auc["candidate"] > auc["champion"] + 0.02
    assert candidate.package.metrics["auc"] == pytest.approx(auc["candidate"], abs=1e-12)
