"""Estimated and realised performance on real mortgages: what was promised before labels is what labels then show."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from quicksilver.performance.counts import BAD, GOOD, UNLABELLED
from quicksilver.performance.estimated import calibration, estimated
from quicksilver.performance.realised import realised
from tests.real_mortgages import FILE, hand_over
from tests.unit.test_performance_metrics import binned

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FILE.is_file(), reason="the folder with real data is absent"),
]


def test_what_is_estimated_of_real_mortgages_is_what_their_labels_show() -> None:
    # Given scores of mortgages that the model has not seen, in the order they are in, half of them labelled
    mortgages = hand_over()
    bad = mortgages.raw["high_priced"].to_numpy() > 0
    half = len(bad) // 2
    earlier, scores = mortgages.scores[:half], mortgages.scores[half:]
    calibrate = calibration(binned(earlier, np.where(bad[:half], BAD, GOOD)))
    # When the other half is estimated before its labels, and judged when they have come
    before = estimated(binned(scores, np.full(len(scores), UNLABELLED)), calibrate)
    after = realised(binned(scores, np.where(bad[half:], BAD, GOOD)))
    # Then both agree within what chance does to so many rows
    assert after is not None
    assert after.auc_interval is not None
    assert after.metrics.auc == pytest.approx(roc_auc_score(bad[half:], scores), abs=5e-4)
    assert after.metrics.brier == pytest.approx(brier_score_loss(bad[half:], scores), abs=1e-9)
    width = after.auc_interval[1] - after.auc_interval[0]
    assert before.auc == pytest.approx(after.metrics.auc, abs=width)
    assert before.brier == pytest.approx(after.metrics.brier, rel=0.05)
    assert before.ks == pytest.approx(after.metrics.ks, abs=0.02)
