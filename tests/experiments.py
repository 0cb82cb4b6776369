"""Experiments made for tests: routes that carry one, and an archive whose arms are as good as one likes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quicksilver.experiment_plan import Experiment, Terms, implied_costs
from quicksilver.instants import utc_iso
from quicksilver.reports.experiment_data import Found
from tests.archives import archived

STARTED_MS = 1_790_000_000_000
DAY_MS = 86_400_000
CUTOFF = 0.2


def found(*, share_bp: int = 5_000, holdout_bp: int = 0, last_route: int = 2, **terms: Any) -> Found:
    """Experiment 2 of card-fraud: ``card-fraud@2`` beside ``card-fraud@1``, ripe after a day."""
    content = {"cutoff": CUTOFF, "costs": implied_costs(CUTOFF), "ripe_after_seconds": 86_400, **terms}
    experiment = Experiment(
        number=2,
        challenger="card-fraud@2",
        share_bp=share_bp,
        started_at=utc_iso(STARTED_MS),
        terms=Terms.model_validate(content),
    )
    return Found(experiment, "card-fraud@1", holdout_bp, 2, last_route)


@dataclass
class ArchiveLines:
    """Lines of predictions and outcomes, with no more in each than an experiment reads."""

    predictions: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def predict(
        self,
        entity: str,
        at_ms: int,
        *,
        arm: str = "champion",
        score: float = 0.1,
        route: int = 2,
        endpoint: str = "card-fraud",
        answered_by: str | None = None,
    ) -> str:
        """Returns the prediction's id."""
        prediction_id = f"p{len(self.predictions)}"
        model = "card-fraud@2" if arm == "challenger" else "card-fraud@1"
        record = {
            "prediction_id": prediction_id,
            "endpoint": endpoint,
            "entity_id": entity,
            "score": score,
            "model": answered_by or model,
            "arm": {
                "model": model,
                "role": "champion" if arm == "holdout" else arm,
                "share_bp": 5_000,
                "holdout": arm == "holdout",
            },
            "route": route,
            "time": utc_iso(at_ms),
        }
        self.predictions.append(json.dumps(record))
        return prediction_id

    def become(self, prediction_id: str, label: bool, at_ms: int) -> None:
        self.outcomes.append(
            json.dumps({"prediction_id": prediction_id, "label": label, "time": utc_iso(at_ms)})
        )

    def write(self, folder: Path) -> Path:
        archived(folder, "predictions", "\n".join(self.predictions).encode())
        archived(folder, "outcomes", "\n".join(self.outcomes).encode())
        return folder


def population(
    entities: int = 4_000,
    *,
    seed: int = 1,
    share: float = 0.5,
    challenger_noise: float = 0.0,
    champion_noise: float = 0.0,
    days: float = 3.0,
    route: int = 2,
    started_ms: int = STARTED_MS,
) -> ArchiveLines:
    """An experiment's archive: entities seen over some days, their outcomes known a day and a half later."""
    rng = np.random.default_rng(seed)
    lines = ArchiveLines()
    for number in range(entities):
        is_challenger = rng.random() < share
        logit = rng.normal(-2.0, 1.8)
        noise = challenger_noise if is_challenger else champion_noise
        score = 1 / (1 + np.exp(-(logit + noise * rng.normal())))
        at = started_ms + int(rng.random() * days * DAY_MS)
        arm = "challenger" if is_challenger else "champion"
        prediction_id = lines.predict(f"card_{number}", at, arm=arm, score=float(score), route=route)
        lines.become(prediction_id, bool(rng.random() < 1 / (1 + np.exp(-logit))), at + int(1.5 * DAY_MS))
    return lines
