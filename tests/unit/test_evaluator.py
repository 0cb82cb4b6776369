"""The evaluator against LightGBM's own Python API, from one thread and from many."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
import pytest

from quicksilver.errors import ModelNotLoadable
from quicksilver.evaluator import LightGBMEvaluator

if TYPE_CHECKING:
    from tests.conftest import Trained


def evaluator_of(booster: lightgbm.Booster) -> LightGBMEvaluator:
    return LightGBMEvaluator(booster.model_to_string().encode())


def test_raw_scores_and_contributions_equal_lightgbms_bit_for_bit(trained: Trained) -> None:
    evaluator = evaluator_of(trained.booster)
    raw = trained.booster.predict(trained.vectors, raw_score=True)
    contributions = trained.booster.predict(trained.vectors, pred_contrib=True)
    for vector, expected_raw, expected in zip(trained.vectors.tolist(), raw, contributions, strict=True):
        evaluation = evaluator.evaluate(vector)
        assert evaluation.raw_score == expected_raw
        assert [*evaluation.contributions, evaluation.expected_value] == list(expected)


def test_threads_do_not_disturb_each_other(trained: Trained) -> None:
    evaluator = evaluator_of(trained.booster)
    expected = trained.booster.predict(trained.vectors, raw_score=True)
    start = threading.Barrier(4)
    wrong: list[int] = []

    def work(offset: int) -> None:
        start.wait()
        indexes = range(offset, len(trained.vectors), 4)
        rows = ((index, trained.vectors[index].tolist()) for index in indexes)
        wrong.extend(index for index, row in rows if evaluator.evaluate(row).raw_score != expected[index])

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("params", [{"objective": "binary", "sigmoid": 1.7}, {"objective": "cross_entropy"}])
def test_a_classifiers_score_is_lightgbms_probability(trained: Trained, params: dict[str, object]) -> None:
    target = (trained.vectors[:, 0] > 80).astype(int)
    booster = lightgbm.train(
        {**params, "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(trained.vectors, target),
        num_boost_round=5,
    )
    evaluator = evaluator_of(booster)
    scores = [
        evaluator.score(evaluator.evaluate(vector).raw_score) for vector in trained.vectors[:200].tolist()
    ]
    np.testing.assert_allclose(scores, booster.predict(trained.vectors[:200]), rtol=1e-14)


def test_a_regressions_score_is_its_raw_score(trained: Trained) -> None:
    booster = lightgbm.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(trained.vectors, trained.vectors[:, 0]),
        num_boost_round=5,
    )
    evaluator = evaluator_of(booster)
    assert (
        evaluator.score(evaluator.evaluate(trained.vectors[0].tolist()).raw_score)
        == booster.predict(trained.vectors[:1])[0]
    )


def test_a_score_far_out_is_zero_or_one_and_no_overflow(trained: Trained) -> None:
    evaluator = evaluator_of(trained.booster)
    assert (evaluator.score(-1e6), evaluator.score(1e6)) == (0.0, 1.0)


def test_several_classes_are_refused(trained: Trained) -> None:
    booster = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(trained.vectors, trained.vectors[:, 1]),
        num_boost_round=2,
    )
    with pytest.raises(ModelNotLoadable):
        evaluator_of(booster)


@pytest.mark.parametrize(
    "text", [b"", b"not a model", b"tree\nobjective=binary sigmoid:1\n", b"objective=poisson\n"]
)
def test_a_text_that_is_no_model_is_refused(text: bytes) -> None:
    with pytest.raises(ModelNotLoadable):
        LightGBMEvaluator(text)


@pytest.mark.parametrize("vector", [[], [1.0] * 5, [1.0] * 7])
def test_a_vector_of_another_length_is_refused_before_lightgbm_sees_it(
    trained: Trained, vector: list[float]
) -> None:
    with pytest.raises(ValueError, match="same size"):
        evaluator_of(trained.booster).evaluate(vector)
