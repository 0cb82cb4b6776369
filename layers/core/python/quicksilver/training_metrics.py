"""What a package says of its own model's quality where its maker says nothing. Off the request path."""

from __future__ import annotations

import numpy as np

from quicksilver.frame import Floats
from quicksilver.gates.statistics import Metrics, roc_components


def score_metrics(scores: Floats, outcomes: Floats, *, regression: bool) -> dict[str, float]:
    """AUC, KS, Brier score, log loss and ECE of probabilities, or RMSE and MAE of values, on the rows given.

    Both arrays have shape ``(rows,)``; for probabilities both outcomes occur.
    """
    if regression:
        error = scores - outcomes
        return {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
    bad = outcomes > 0
    values = dict(zip(Metrics.names, Metrics(scores, bad).values().tolist(), strict=True))
    return {"auc": roc_components(scores, bad).auc, **values}
