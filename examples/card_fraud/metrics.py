"""How well scores rank and how honest they are as probabilities."""

from __future__ import annotations

import numpy as np

from examples.card_fraud.population import Bools, Floats


def evaluate(scores: Floats, outcomes: Bools) -> dict[str, float]:
    """Area under the ROC curve, Kolmogorov-Smirnov distance, Brier score and log loss (nats).

    ``scores`` are probabilities, both arrays of shape (rows,). Raises ``ValueError`` unless both
    outcomes occur.
    """
    positives = int(outcomes.sum())
    negatives = len(outcomes) - positives
    if not positives or not negatives:
        raise ValueError("ranking needs both outcomes")
    order = np.argsort(-scores, kind="stable")
    # Tied scores are one threshold: only the last row of each tie is a point of the curve.
    corner = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    caught = np.append(0, np.cumsum(outcomes[order])[corner]) / positives
    alarmed = np.append(0, np.cumsum(~outcomes[order])[corner]) / negatives
    likelihood = np.clip(np.where(outcomes, scores, 1.0 - scores), 1e-15, 1.0)
    return {
        "auc": float(np.sum(np.diff(alarmed) * (caught[1:] + caught[:-1]) / 2)),
        "ks": float(np.max(np.abs(caught - alarmed))),
        "brier": float(np.mean((scores - outcomes) ** 2)),
        "log_loss": float(-np.mean(np.log(likelihood))),
    }
