"""Days of predictions with the labels that came of them."""

from __future__ import annotations

import numpy as np

from quicksilver.drift_policy import DriftPolicy
from quicksilver.instants import utc_iso
from quicksilver.labelled import DAY_MS
from quicksilver.outcomes import Outcome
from quicksilver.prediction import PredictionRecord
from tests.prediction_records import CHAMPION, prediction_record

START_MS = 20_000 * DAY_MS
"""A Friday's midnight."""
ENDPOINT = "card-fraud"
TERMS = {"label_days": 3, "min_labels": 40, "min_bad": 5, "ripe_share": 0.8, "auc_margin": 0.03}


def policy(**terms: object) -> DriftPolicy:
    return DriftPolicy.model_validate(
        {"endpoint": ENDPOINT, "version": 4, "settle_minutes": 0, "performance": {**TERMS, **terms}}
    )


def traffic(
    days: int, rows: int = 150, *, model: str = CHAMPION, first: int = 0, works: bool = True, seed: int = 5
) -> tuple[list[PredictionRecord], list[Outcome]]:
    """So many days of predictions, an hour's in each day's first, and their labels half a day later.

    A model that works ranks by what happens; one that does not, by chance.
    """
    rng = np.random.default_rng(seed)
    predictions, outcomes = [], []
    for number in range(first, first + days * rows):
        at_ms = START_MS + (number // rows) * DAY_MS + number % rows * 1_000
        score = float(rng.beta(1, 3))
        bad = bool(rng.random() < (score if works else 0.25))
        id = f"p{number}"
        predictions.append(
            prediction_record(
                number,
                prediction_id=id,
                entity_id=f"card_{number}",
                time_ms=at_ms,
                score=score,
                assigned=model,
            )
        )
        outcomes.append(Outcome(prediction_id=id, label=bad, time=utc_iso(at_ms + DAY_MS // 2)))
    return predictions, outcomes
