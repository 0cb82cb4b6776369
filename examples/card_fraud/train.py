"""The training script: simulate, compute features, encode by the contract, train, evaluate in later time.

    python -m examples.card_fraud.train --out build/card-fraud

Training and held-out rows are split by time, never at random: the model is judged on days it has not
seen, and the first days, on which histories are still filling, are left out.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from examples.card_fraud.contract import build_contract
from examples.card_fraud.features import compute_features
from examples.card_fraud.metrics import evaluate
from examples.card_fraud.population import Bools, Floats, Ints
from examples.card_fraud.simulator import SimulationConfig, Transactions, simulate
from quicksilver.contract import Contract, FeatureType
from quicksilver.frame import Frame, encode_frame
from quicksilver.package import Package
from quicksilver.package_files import write_handover
from quicksilver.packing import evaluation_rows, pack

WARM_UP_SHARE = 1 / 4
HELD_OUT_SHARE = 1 / 6
CARD = {
    "purpose": "Score each card payment by how likely it is to be reported as fraud; the decision engine blocks "
    "or refers above its own cut-off.",
    "owner": "Fraud analytics (example)",
    "data": "Simulated card payments. The model learned from the middle of the window; metrics, golden rows and "
    "the reference profile are from its last days, which it has not seen.",
    "limits": "Made for payments by card. Outcomes arrive weeks late and a few frauds are never reported. A "
    "card's first days have little history, and are referred.",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded transactions: ``index`` into the simulation, ``vectors`` (rows, features), ``outcomes``."""

    index: Ints
    vectors: Floats
    outcomes: Bools

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, slots=True)
class Trained:
    """A booster with what it was trained and judged on. ``scores`` are the held-out probabilities."""

    booster: lgb.Booster
    contract: Contract
    metrics: dict[str, float]
    transactions: Transactions
    frame: Frame
    training: Rows
    held_out: Rows
    scores: Floats

    def pack(self) -> Package:
        """The model package, judged on the held-out rows."""
        return pack(self.booster, self.contract, **self._rows, card=CARD, metrics=self.metrics)

    def evaluation(self) -> bytes:
        """The held-out rows with outcomes and protected attributes, for the gates."""
        return evaluation_rows(self.contract, **self._rows)

    @property
    def _rows(self) -> dict[str, Any]:
        index = self.held_out.index
        return {
            "reference": {name: self.frame[name].take(index) for name in self.contract.names},
            "target": self.held_out.outcomes,
            "protected": self.transactions.protected.of_cards(self.transactions.card[index]),
        }


def train(
    config: SimulationConfig | None = None, *, rounds: int = 200, leaves: int = 31, threads: int = 1
) -> Trained:
    """Train on a simulation. Deterministic: the same configuration gives the same model text.

    One thread by default: at this size a second saves a second on an idle machine, and on a busy one
    OpenMP's threads wait for each other by spinning, ten times slower.
    """
    config = config or SimulationConfig()
    transactions = simulate(config)
    frame = compute_features(transactions)
    return train_on(transactions, frame, days=config.days, rounds=rounds, leaves=leaves, threads=threads)


def train_on(
    transactions: Transactions,
    frame: Frame,
    *,
    days: int,
    rounds: int = 200,
    leaves: int = 31,
    threads: int = 1,
) -> Trained:
    """Train on the first ``days`` of a simulation and their features; what comes later is left out of everything."""
    until = int(np.searchsorted(transactions.day, days))
    transactions = transactions.first(until)
    frame = {name: column.take(np.arange(until)) for name, column in frame.items()}
    contract = build_contract()
    vectors = encode_frame(contract, frame)
    training, held_out = split_by_time(transactions, vectors, days)
    booster = fit(contract, training, rounds=rounds, leaves=leaves, threads=threads)
    return judged(booster, contract, transactions, frame, training, held_out)


def judged(
    booster: lgb.Booster,
    contract: Contract,
    transactions: Transactions,
    frame: Frame,
    training: Rows,
    held_out: Rows,
) -> Trained:
    """A booster with its scores and metrics on the held-out rows."""
    scores = np.asarray(booster.predict(held_out.vectors, num_threads=1), dtype=np.float64)
    metrics = evaluate(scores, held_out.outcomes)
    metrics |= {
        "training_rows": float(len(training)),
        "held_out_rows": float(len(held_out)),
        "held_out_fraud_rate": float(held_out.outcomes.mean()),
    }
    return Trained(booster, contract, metrics, transactions, frame, training, held_out, scores)


def split_by_time(transactions: Transactions, vectors: Floats, days: int) -> tuple[Rows, Rows]:
    """Training rows and, after them in time, held-out rows."""
    day = transactions.day
    warm, cut = days * WARM_UP_SHARE, days * (1 - HELD_OUT_SHARE)

    def rows(chosen: Bools) -> Rows:
        index = np.flatnonzero(chosen)
        return Rows(index, vectors[index], transactions.outcome[index])

    return rows((day >= warm) & (day < cut)), rows(day >= cut)


def fit(
    contract: Contract, rows: Rows, *, rounds: int, leaves: int, threads: int, seed: int = 7
) -> lgb.Booster:
    """A LightGBM booster whose feature names and category codes are the contract's."""
    categories = [f.name for f in contract.features if f.type is FeatureType.CATEGORY]
    data = lgb.Dataset(
        rows.vectors,
        label=rows.outcomes.astype(np.float64),
        feature_name=list(contract.names),
        categorical_feature=categories,
        free_raw_data=True,
    )
    parameters = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": leaves,
        "min_data_in_leaf": 60,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "cat_smooth": 20.0,
        "seed": seed,
        # The same model text on every run, at some cost in speed.
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads,
        "verbosity": -1,
    }
    return lgb.train(parameters, data, num_boost_round=rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="an empty or new folder for the model package"
    )
    parser.add_argument("--transactions", type=int, default=200_000)
    parser.add_argument("--drift", type=float, default=0.0, help="strength of drift, 0 to 1")
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    if chosen.out.exists() and any(chosen.out.iterdir()):
        parser.error(f"the folder {chosen.out} is not empty")
    config = SimulationConfig(transactions=chosen.transactions, drift=chosen.drift, seed=chosen.seed)
    trained = train(config)
    package = trained.pack()
    evaluation = write_handover(package, trained.evaluation(), chosen.out)
    said = {"package": str(chosen.out), "evaluation": str(evaluation), "sha256": package.sha256}
    print(json.dumps({**said, "metrics": trained.metrics}, indent=2))


if __name__ == "__main__":
    main()
