"""How well a model probably does, before there are labels: confidence-based performance estimation (CBPE).

A calibrated score is the probability that the row is bad, so each row counts as a bad one by that much and as a good one by
the rest; metrics of these expected counts are what labels will show on average (NannyML's documentation, "Confidence-based
Performance Estimation", which assumes calibration and no change of what the inputs mean). Where earlier windows are ripe,
scores are calibrated on them first: isotonic regression by pooling adjacent violators (Barlow, Bartholomew, Bremner & Brunk
1972, section 1.2), linear between the bins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from quicksilver.performance.counts import BAD, GOOD, Binned, Floats
from quicksilver.performance.realised import auc_of, ks_of
from quicksilver.performance.result import Metrics

Calibration: TypeAlias = Callable[[Floats], Floats]
"""Scores to the probabilities that they stand for."""


def as_they_are(scores: Floats) -> Floats:
    return scores


def calibration(labelled: Binned) -> Calibration:
    """What scores have meant, by the labels of earlier predictions, of which there must be some."""
    rows = labelled.rows[GOOD:].sum(axis=0)
    some = rows > 0
    scores = (labelled.score[GOOD:].sum(axis=0)[some] / rows[some]).astype(np.float64)
    fitted = pooled(labelled.rows[BAD][some] / rows[some], rows[some].astype(np.float64))
    return lambda asked: np.asarray(np.interp(asked, scores, fitted), dtype=np.float64)


def pooled(values: Floats, weights: Floats) -> Floats:
    """The weighted least-squares fit that never falls, shape (values,)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, length = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, its_weight, its_length = blocks.pop()
            mean = (before * its_weight + mean * total) / (its_weight + total)
            total, length = total + its_weight, length + its_length
        blocks.append((mean, total, length))
    return np.repeat([mean for mean, _, _ in blocks], [length for _, _, length in blocks])


def estimated(binned: Binned, calibrate: Calibration = as_they_are) -> Metrics:
    """The expected metrics of all rows, labelled or not. AUC and KS are None where one class is not expected.

    ``calibration`` is None for scores as they are: they are taken to be calibrated.
    """
    rows = binned.rows.sum(axis=0)
    total = rows.sum()
    if not total:
        return Metrics(auc=None, ks=None, brier=None, calibration=None)
    score, square = binned.mean_score, binned.square.sum(axis=0)
    probability = np.clip(calibrate(score), 0.0, 1.0)
    bad = rows * probability
    good = rows - bad
    # Of a row with score s that is bad by p: p (1 - s)^2 + (1 - p) s^2 = s^2 - 2 p s + p.
    brier = (square.sum() - 2 * (bad * score).sum() + bad.sum()) / total
    both = good.sum() > 0 and bad.sum() > 0
    moved = calibrate is not as_they_are
    return Metrics(
        auc=auc_of(good, bad) if both else None,
        ks=ks_of(good, bad) if both else None,
        brier=max(0.0, float(brier)),
        calibration=float(np.abs(bad - rows * score).sum() / total) if moved else None,
    )
