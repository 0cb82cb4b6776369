"""Sound model texts of every family, small, for mutations to start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np

_SMALL = {
    "objective": "binary", "num_leaves": 5, "min_data_in_leaf": 3, "min_data_per_group": 3, "cat_smooth": 1, "verbose": -1,
    "num_threads": 1, "seed": 3,
}  # fmt: skip
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "binary": {},
    "zero_as_missing": {"zero_as_missing": True},
    "no_missing": {"use_missing": False},
    "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
    "dart": {"boosting": "dart", "drop_rate": 0.9, "skip_drop": 0},
    "goss": {"data_sample_strategy": "goss", "learning_rate": 0.5},
    "multiclass": {"objective": "multiclass", "num_class": 3},
    "regression": {"objective": "regression"},
    "cross_entropy": {"objective": "cross_entropy"},
    "monotone": {"monotone_constraints": [1, -1, 0, 0]},
    "stump": {"num_leaves": 2},
    "leaf": {"min_data_in_leaf": 400},
    "larger": {"num_leaves": 24, "max_depth": 9},
}


def texts() -> dict[str, bytes]:
    """By family. Features 0 and 1 are numbers, with gaps and zeros; 2 and 3 are categories where there are any."""
    rng = np.random.default_rng(5)
    rows = np.column_stack([rng.normal(size=(400, 2)), rng.integers(0, 5, 400), rng.integers(0, 70, 400)])
    rows[rng.random(rows.shape) < 0.1] = np.nan
    rows[:, 1][rng.random(400) < 0.2] = 0
    signal = np.nan_to_num(rows[:, 0]) + (rows[:, 2] == 1) + (rows[:, 3] > 35) + np.isnan(rows[:, 1])
    target = np.digitize(signal, [0.7, 1.5])
    made = {}
    for name, params in FAMILIES.items():
        categorical = [] if name in ("monotone", "zero_as_missing") else [2, 3]
        label = target if name == "multiclass" else (target > 0)
        data = lightgbm.Dataset(rows, label, categorical_feature=categorical)
        booster = lightgbm.train({**_SMALL, **params}, data, num_boost_round=3)
        # The parameters' section, a page of settings, would draw most of the mutations to where nobody reads.
        text = booster.model_to_string()
        start, end = text.index("\nparameters:\n"), text.index("\nend of parameters")
        made[name] = (
            text[:start] + "\nparameters:\n[boosting: gbdt]\n[linear_tree: 0]\n" + text[end:]
        ).encode()
    return made
