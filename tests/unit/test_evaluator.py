"""The evaluator against LightGBM's own Python API, from one thread and from many."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
import pytest

import quicksilver.evaluator
import quicksilver.kernel
from quicksilver.errors import ModelNotLoadable, NotAdditive
from quicksilver.evaluator import ExplainedBy, LightGBMEvaluator

if TYPE_CHECKING:
    from tests.conftest import Trained


def evaluator_of(booster: lightgbm.Booster) -> LightGBMEvaluator:
    return LightGBMEvaluator(booster.model_to_string().encode())


def test_raw_scores_are_lightgbms_bit_for_bit_and_contributions_to_the_last_digits(trained: Trained) -> None:
    evaluator = evaluator_of(trained.booster)
    raw = trained.booster.predict(trained.vectors, raw_score=True)
    contributions = trained.booster.predict(trained.vectors, pred_contrib=True)
    for vector, expected_raw, expected in zip(trained.vectors.tolist(), raw, contributions, strict=True):
        evaluation = evaluator.evaluate(vector)
        assert (evaluation.raw_score, evaluator.raw_score(vector)) == (expected_raw, expected_raw)
        assert evaluation.explained_by is ExplainedBy.KERNEL
        given = [*evaluation.contributions, evaluation.expected_value]
        assert np.abs(given - expected).max() <= 1e-13 * np.abs(expected).max()
        assert evaluator.lightgbm_contributions(vector) == tuple(expected)


def test_a_random_forests_score_is_lightgbms_probability(trained: Trained) -> None:
    """Its raw score is a sum and its probability comes from the mean."""
    target = (trained.vectors[:, 0] > 80).astype(int)
    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "objective": "binary"}
    rows = lightgbm.Dataset(trained.vectors, target)
    booster = lightgbm.train({**forest, "verbose": -1, "num_threads": 1}, rows, num_boost_round=9)
    evaluator = evaluator_of(booster)
    raw = booster.predict(trained.vectors[:100], raw_score=True)
    evaluations = [evaluator.evaluate(vector) for vector in trained.vectors[:100].tolist()]
    assert [evaluation.raw_score for evaluation in evaluations] == raw.tolist()
    scores = [evaluator.score(evaluation.raw_score) for evaluation in evaluations]
    np.testing.assert_allclose(scores, booster.predict(trained.vectors[:100]), rtol=1e-14)


def test_contributions_that_do_not_add_up_are_replaced_by_lightgbms_own(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = trained.vectors[0].tolist()
    right = quicksilver.kernel.Worker.__call__
    monkeypatch.setattr(
        quicksilver.kernel.Worker, "__call__", lambda self: [right(self)[0] + 1e-3, *right(self)[1:]]
    )
    evaluation = evaluator_of(trained.booster).evaluate(vector)
    assert evaluation.explained_by is ExplainedBy.LIGHTGBM
    assert evaluation.kernel_failed
    expected = trained.booster.predict([vector], pred_contrib=True)[0]
    assert [*evaluation.contributions, evaluation.expected_value] == list(expected)


def test_contributions_that_nobody_can_make_add_up_are_no_answer(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quicksilver.evaluator, "_add_up", lambda *_: False)
    with pytest.raises(NotAdditive, match="do not add up"):
        evaluator_of(trained.booster).evaluate(trained.vectors[0].tolist())


def test_a_model_the_kernel_refuses_is_explained_by_lightgbm_and_says_so(
    trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    text = trained.booster.model_to_string()
    count = re.search(r"^internal_count=(\d+)", text, re.MULTILINE)
    assert count is not None
    # Row counts that do not add up: nothing is wrong with the scores.
    bent = text.replace(count[0], f"internal_count={int(count[1]) + 1}".rjust(len(count[0])), 1)
    assert len(bent) == len(text)
    evaluator = LightGBMEvaluator(bent.encode())
    assert evaluator.explained_by is ExplainedBy.LIGHTGBM
    assert "row counts" in caplog.text
    vector = trained.vectors[0].tolist()
    evaluation = evaluator.evaluate(vector)
    assert evaluation.explained_by is ExplainedBy.LIGHTGBM
    assert not evaluation.kernel_failed
    assert evaluator.raw_score(vector) == trained.booster.predict([vector], raw_score=True)[0]


def test_linear_trees_are_refused_because_nobody_can_explain_them(trained: Trained) -> None:
    params = {"linear_tree": True, "objective": "regression", "verbose": -1, "num_threads": 1}
    rows = lightgbm.Dataset(trained.vectors, trained.vectors[:, 0])
    with pytest.raises(ModelNotLoadable, match="linear trees"):
        evaluator_of(lightgbm.train(params, rows, num_boost_round=2))


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
