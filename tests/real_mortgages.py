"""Real mortgages (HMDA, 160,338 applications) as a data scientist would hand them over, for tests marked ``real_data``."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd

from quicksilver.contract import Contract
from quicksilver.package import Package
from quicksilver.packing import evaluation_rows, pack

FILE = Path(
    os.environ.get("QUICKSILVER_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
).joinpath("hmda", "hmda_train_preprocessed.zip")

FLAGS = ("term_360", "conforming", "debt_to_income_ratio_missing")
NUMBERS = (
    "loan_amount_std", "loan_to_value_ratio_std", "no_intro_rate_period_std", "intro_rate_period_std",
    "property_value_std", "income_std", "debt_to_income_ratio_std",
)  # fmt: skip
GROUPS = {
    "race": ("black", "asian", "white", "amind", "hipac"),
    "ethnicity": ("hispanic", "non_hispanic"),
    "sex": ("male", "female"),
}
TRAINING_ROWS = 80_000


@dataclass
class Mortgages:
    """A model of the first rows as a package, and the other rows: raw, as evaluation data, and LightGBM's own scores."""

    package: Package
    raw: pd.DataFrame
    evaluation: bytes
    scores: np.ndarray


def features(table: pd.DataFrame) -> pd.DataFrame:
    return table[[*FLAGS, *NUMBERS]].astype(dict.fromkeys(FLAGS, bool))


def hand_over() -> Mortgages:
    with zipfile.ZipFile(FILE) as archive, archive.open(archive.namelist()[0]) as csv:
        raw = pd.read_csv(csv)
    assert len(raw) == 160_338
    contract = Contract.model_validate(
        {
            "endpoint": "credit-line",
            "protected": ["age_62_or_over"],
            "features": [
                {
                    "name": name, "type": "boolean" if name in FLAGS else "number", "source": "request",
                    "missing": "missing", "reason_code": name.upper(), "reason": name.replace("_", " "),
                }
                for name in (*FLAGS, *NUMBERS)
            ],
        }
    )  # fmt: skip
    past, rest = raw.iloc[:TRAINING_ROWS], raw.iloc[TRAINING_ROWS:]
    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1, "seed": 1},
        lightgbm.Dataset(features(past).astype(float), past["high_priced"]),
        num_boost_round=60,
    )
    package = pack(booster, contract, reference=features(past), target=past["high_priced"].to_numpy())
    protected = {
        attribute: np.select([rest[name] == 1 for name in names], names, default=None)
        for attribute, names in GROUPS.items()
    }
    age = rest["agegte62"]
    protected["age_62_or_over"] = np.where(age.isna(), None, np.where(age == 1, "yes", "no"))
    rows = evaluation_rows(
        contract, reference=features(rest), target=rest["high_priced"].to_numpy(), protected=protected
    )
    return Mortgages(package, rest, rows, booster.predict(features(rest).astype(float)))
