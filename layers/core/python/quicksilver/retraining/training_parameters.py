"""What a candidate is trained with: as its champion was, by what the champion's model text says of its own training.

A person chose those; the machine chooses none. Weights of rows and classes are not taken over: they bend probabilities, and
a score is one. The champion's trees are the most a candidate may have, so that no retraining makes answers slower.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quicksilver.contract import Contract
from quicksilver.errors import FieldError, InvalidData
from quicksilver.model_text import read_header
from quicksilver.retraining.lightgbm_trainer import Parameters

_METRICS = {"binary": "binary_logloss", "cross_entropy": "cross_entropy"}

_LEARNED_WITH = frozenset(
    {
        "learning_rate", "num_leaves", "max_depth", "min_data_in_leaf", "min_sum_hessian_in_leaf", "bagging_fraction",
        "bagging_freq", "bagging_seed", "feature_fraction", "feature_fraction_bynode", "feature_fraction_seed",
        "extra_trees", "extra_seed", "max_delta_step", "lambda_l1", "lambda_l2", "min_gain_to_split",
        "data_sample_strategy", "top_rate", "other_rate", "min_data_per_group", "max_cat_threshold", "cat_l2",
        "cat_smooth", "max_cat_to_onehot", "path_smooth", "max_bin", "min_data_in_bin", "data_random_seed", "seed",
        "objective_seed", "monotone_constraints_method", "monotone_penalty",
    }
)  # fmt: skip

DEFAULTS: Parameters = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "seed": 7,
}
"""For a champion whose text does not say, or that was not boosted the usual way: slow, regular and small."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters, and the most rounds to train for. ``inherited`` says whether they are the champion's own."""

    parameters: Parameters
    rounds: int
    inherited: bool


def plan_of(champion_text: bytes, contract: Contract) -> Plan:
    """How a candidate for a champion is trained. Raises ``InvalidData`` for a champion that gives no probabilities, and
    ``ModelNotLoadable`` for a text that is none."""
    header = read_header(champion_text)
    objective, *details = header.objective.split(" ")
    if objective not in _METRICS:
        raise InvalidData(
            "The champion cannot be retrained on outcomes.",
            [FieldError("objective", f"is {objective}, and outcomes are yes or no")],
        )
    said = _said(champion_text)
    inherited = said.get("boosting") == "gbdt"
    learned = {name: value for name, value in said.items() if name in _LEARNED_WITH and value}
    if "extra_trees" in learned:  # the one of them that LightGBM writes otherwise than it reads it
        learned["extra_trees"] = "true" if learned["extra_trees"] == "1" else "false"
    parameters: dict[str, str | float | int | bool] = {
        "objective": objective,
        "metric": _METRICS[objective],
        **(learned if inherited else DEFAULTS),
    }
    for detail in details:
        name, _, value = detail.partition(":")
        if name == "sigmoid":
            parameters["sigmoid"] = value
    # What the contract promises is what the gates check, whatever the champion was told.
    if any(feature.monotone for feature in contract.features):
        parameters["monotone_constraints"] = ",".join(str(feature.monotone) for feature in contract.features)
    return Plan(parameters, max(1, header.trees), inherited)


def _said(text: bytes) -> dict[str, str]:
    """The parameters that a model text ends with: ``[name: value]``, a line each."""
    _, _, after = text.rpartition(b"\nparameters:\n")
    section, ended, _ = after.partition(b"end of parameters")
    if not ended:
        return {}
    found = re.findall(rb"^\[([a-z0-9_]+): ([^\]\n ]*)\]$", section, re.MULTILINE)
    return {name.decode(): value.decode(errors="replace") for name, value in found}
