"""The trainer without the lightgbm package gives the package's own model text; whatever fails leaves nothing behind."""

from __future__ import annotations

import ctypes
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import quicksilver.retraining.lightgbm_trainer as trainer
from quicksilver.errors import InvalidData
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.retraining.lightgbm_trainer import STABLE, Rows, train

NAMES = ("amount", "channel", "age", "kind")
CATEGORICAL = (1, 3)
PARAMETERS: dict[str, Any] = {
    "objective": "binary", "metric": "binary_logloss", "learning_rate": 0.1, "num_leaves": 15, "seed": 7,
    "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1, "min_data_in_leaf": 10, "cat_smooth": 20.0,
    "lambda_l2": 5.0, "max_bin": 63,
}  # fmt: skip


def rows(count: int, seed: int = 3, missing: float = 0.1) -> Rows:
    rng = np.random.default_rng(seed)
    vectors = np.column_stack(
        [
            rng.exponential(80, count),
            rng.integers(0, 5, count),
            rng.normal(40, 9, count).round(),
            rng.integers(0, 40, count),
        ]
    ).astype(float)
    signal = vectors[:, 0] / 80 + (vectors[:, 1] == 2) + (vectors[:, 3] % 7 == 0) * 1.5
    labels = (signal + rng.normal(size=count) > 2).astype(float)
    vectors[rng.random(vectors.shape) < missing] = np.nan
    return Rows(vectors, labels)


def oracle(
    learn: Rows,
    stop_on: Rows | None,
    rounds: int,
    patience: int,
    parameters: dict[str, Any],
    categorical: Any,
) -> tuple[bytes, int]:
    """The lightgbm package's own answer, less the line that it adds for pandas."""
    chosen = {**parameters, **STABLE, "num_threads": 1}
    data = lightgbm.Dataset(
        learn.vectors, learn.labels, feature_name=list(NAMES), categorical_feature=list(categorical)
    )
    more: dict[str, Any] = {}
    if stop_on is not None:
        more = {
            "valid_sets": [lightgbm.Dataset(stop_on.vectors, stop_on.labels, reference=data)],
            "callbacks": [lightgbm.early_stopping(patience, verbose=False)],
        }
    # Else it writes and reads the model once more, by which the only leaf of a tree without a split loses its weight.
    booster = lightgbm.train(chosen, data, num_boost_round=rounds, keep_training_booster=True, **more)
    text = booster.model_to_string().encode()
    text, _, _ = text.partition(b"\npandas_categorical:")
    return text.replace(
        b"[num_threads: 1]", b"[num_threads: 0]"
    ), booster.best_iteration or booster.num_trees()


@pytest.mark.parametrize("stopping", [False, True])
@pytest.mark.parametrize("categorical", [(), CATEGORICAL])
@pytest.mark.parametrize(
    "more",
    [{}, {"monotone_constraints": "1,0,-1,0"}, {"objective": "cross_entropy", "metric": "cross_entropy"}],
)
def test_it_gives_the_very_text_of_the_lightgbm_package(stopping: bool, categorical: Any, more: Any) -> None:
    learn, stop_on = rows(3_000), rows(1_000, seed=4) if stopping else None
    parameters = {**PARAMETERS, **more}
    ours = train(
        learn, names=NAMES, categorical=categorical, parameters=parameters, rounds=300, threads=1,
        stop_on=stop_on, patience=5,
    )  # fmt: skip
    text, best = oracle(learn, stop_on, 300, 5, parameters, categorical)
    assert ours.text == text
    assert ours.rounds == best or not stopping
    assert (ours.rounds < 300) == stopping


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(60, 400), st.integers(0, 1_000), st.floats(0, 0.9), st.integers(2, 40), st.integers(1, 12),
    st.booleans(),
)  # fmt: skip
def test_it_does_so_on_any_rows(
    count: int, seed: int, missing: float, leaves: int, patience: int, stopping: bool
) -> None:
    learn, stop_on = rows(count, seed, missing), rows(50, seed + 1, missing) if stopping else None
    parameters = {**PARAMETERS, "num_leaves": leaves}
    ours = train(
        learn, names=NAMES, categorical=CATEGORICAL, parameters=parameters, rounds=30, threads=1,
        stop_on=stop_on, patience=patience,
    )  # fmt: skip
    text, _ = oracle(learn, stop_on, 30, patience, parameters, CATEGORICAL)
    assert ours.text == text


def test_any_number_of_threads_gives_the_same_text() -> None:
    one, two = (
        train(
            rows(4_000),
            names=NAMES,
            categorical=CATEGORICAL,
            parameters=PARAMETERS,
            rounds=20,
            threads=threads,
        )
        for threads in (1, 2)
    )
    assert one.text == two.text


def test_the_evaluator_loads_it_and_it_ranks() -> None:
    learn, later = rows(4_000), rows(500, seed=9)
    model = train(learn, names=NAMES, categorical=CATEGORICAL, parameters=PARAMETERS, rounds=40, threads=1)
    evaluator = LightGBMEvaluator(model.text)
    assert evaluator.feature_names == NAMES
    raw = np.array([evaluator.raw_score(vector) for vector in later.vectors.tolist()])
    assert raw[later.labels == 1].mean() > raw[later.labels == 0].mean() + 0.5


@pytest.mark.parametrize(
    ("bent", "words"),
    [
        ({"objective": "none_such"}, "Unknown objective"),
        ({"num_leaves": 1}, "num_leaves"),
        ({"metric": "binary_logloss,auc"}, "2 metrics and not one"),
    ],
)
def test_what_lightgbm_refuses_is_one_sentence(bent: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidData, match=words) as refused:
        train(
            rows(500),
            names=NAMES,
            parameters={**PARAMETERS, **bent},
            rounds=5,
            threads=1,
            stop_on=rows(100, 4),
        )
    assert str(refused.value).startswith("LightGBM cannot train on these rows: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "bent",
    [
        Rows(np.zeros((10, 3)), np.zeros(10)),
        Rows(np.zeros((10, 4)), np.zeros(9)),
        Rows(np.zeros(4), np.zeros(4)),
    ],
)
def test_rows_of_another_shape_never_reach_the_library(bent: Rows) -> None:
    with pytest.raises(InvalidData, match="the vectors have shape"):
        train(bent, names=NAMES, parameters=PARAMETERS, rounds=1, threads=1)


@pytest.mark.parametrize(
    "failing",
    [
        "LGBM_DatasetSetField",
        "LGBM_DatasetSetFeatureNames",
        "LGBM_BoosterCreate",
        "LGBM_BoosterAddValidData",
        "LGBM_BoosterUpdateOneIter",
        "LGBM_BoosterGetEval",
        "LGBM_BoosterSaveModelToString",
    ],
)
def test_whatever_fails_every_handle_is_freed(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    open_handles: list[int | None] = []
    real = trainer.call

    def watched(name: str, *arguments: Any) -> None:
        if name == failing and (name != "LGBM_DatasetSetField" or len(open_handles) > 1):
            raise trainer.Refused("no")
        real(name, *arguments)
        if name in ("LGBM_DatasetCreateFromMat", "LGBM_BoosterCreate"):
            open_handles.append(ctypes.cast(arguments[-1], ctypes.POINTER(ctypes.c_void_p))[0])
        if name in ("LGBM_DatasetFree", "LGBM_BoosterFree"):
            open_handles.remove(arguments[0].value)

    monkeypatch.setattr(trainer, "call", watched)
    with pytest.raises(InvalidData, match=r"^LightGBM cannot train on these rows: no\.$"):
        train(rows(300), names=NAMES, parameters=PARAMETERS, rounds=3, threads=1, stop_on=rows(100, 4))
    assert open_handles == []
