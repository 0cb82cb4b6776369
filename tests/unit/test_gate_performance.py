"""The performance gate passes what is good enough and no worse than the champion, and each check can fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from quicksilver.gates.performance import Scored, performance_checks
from quicksilver.gates.policy import PerformancePolicy
from quicksilver.gates.report import Check, Outcome
from tests.gates import failed, find

Floats = NDArray[np.float64]
ROWS = 2_000


def honest(strength: float, seed: int = 1) -> tuple[Floats, NDArray[np.bool_]]:
    """Probabilities of a logistic world, and outcomes drawn by them: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-(strength * rng.normal(size=ROWS) - 1)))
    return scores, rng.random(ROWS) < scores


SCORES, TARGET = honest(2.0)


def checks(scored: Scored, **policy: Any) -> list[Check]:
    usual = {"bootstrap_samples": 200, "max_ece": 0.05}
    return performance_checks(scored, PerformancePolicy(**{**usual, **policy}), seed=1)


def noisy(scale: float) -> Floats:
    noise = np.random.default_rng(3).normal(scale=scale, size=ROWS)
    return np.asarray(1 / (1 + np.exp(-(np.log(SCORES / (1 - SCORES)) + noise))))


def test_a_good_first_model_passes_with_its_numbers() -> None:
    found = checks(Scored(TARGET, SCORES))
    assert {check.outcome for check in found} == {Outcome.PASS}
    assert [check.name for check in found] == ["rows", "auc", "ks", "brier", "log_loss", "ece"]
    auc = find(found, "auc")
    assert auc.value == pytest.approx(roc_auc_score(TARGET, SCORES))
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low < auc.value < auc.high  # type: ignore[operator]
    assert auc.champion is None


def test_too_few_rows_fail() -> None:
    assert failed(checks(Scored(TARGET, SCORES), min_rows=ROWS + 1)) == ["rows"]
    assert failed(checks(Scored(TARGET, SCORES), min_rows=ROWS)) == []


def test_an_auc_below_its_bound_fails_and_one_within_chance_of_it_warns() -> None:
    auc = roc_auc_score(TARGET, SCORES)
    below = find(checks(Scored(TARGET, SCORES), min_auc=auc + 0.001), "auc")
    within = find(checks(Scored(TARGET, SCORES), min_auc=auc - 0.001), "auc")
    assert (below.outcome, within.outcome) == (Outcome.FAIL, Outcome.WARN)
    assert "crosses the limit" in within.sentence


def test_scores_that_are_no_honest_probabilities_fail_by_ece_alone() -> None:
    # The same ranking: only the probabilities lie.
    assert failed(checks(Scored(TARGET, SCORES**3))) == ["ece"]


def test_a_model_is_not_worse_than_itself_even_with_no_margin() -> None:
    margins = dict.fromkeys(("auc_margin", "ks_margin", "brier_margin", "log_loss_margin"), 0)
    assert failed(checks(Scored(TARGET, SCORES, SCORES.copy()), **margins)) == []


def test_a_better_model_than_the_champion_passes_and_names_its_numbers() -> None:
    found = checks(Scored(TARGET, SCORES, noisy(1.0)))
    assert failed(found) == []
    auc = find(found, "auc_non_inferior")
    assert auc.value == pytest.approx(roc_auc_score(TARGET, SCORES) - roc_auc_score(TARGET, noisy(1.0)))
    assert auc.champion == pytest.approx(roc_auc_score(TARGET, noisy(1.0)))


@pytest.mark.parametrize(
    ("metric", "margin"), [("auc", 0.01), ("ks", 0.02), ("brier", 0.01), ("log_loss", 0.02)]
)
def test_a_worse_model_than_the_champion_fails_by_each_metric(metric: str, margin: float) -> None:
    found = checks(Scored(TARGET, noisy(2.0), SCORES))
    check = find(found, f"{metric}_non_inferior")
    assert check.outcome is Outcome.FAIL
    assert check.limit == -margin
    assert check.value is not None
    assert check.value < -margin
    assert "is worse than the champion's by" in check.sentence


def test_a_model_as_good_as_the_champion_fails_where_too_few_rows_can_show_it() -> None:
    # On twenty bad and twenty good rows nothing is wrong with the candidate, and nothing is shown either.
    few = np.r_[np.flatnonzero(TARGET)[:20], np.flatnonzero(~TARGET)[:20]]
    scored = Scored(TARGET[few], SCORES[few], noisy(0.4)[few])
    auc = find(checks(scored, min_rows=1, auc_margin=0.001), "auc_non_inferior")
    assert auc.value is not None
    assert auc.value > -0.001
    assert auc.outcome is Outcome.FAIL
    assert "do not rule it out" in auc.sentence


def test_the_lower_end_decides_and_not_the_value() -> None:
    scored = Scored(TARGET, noisy(0.3), SCORES)
    auc = find(checks(scored), "auc_non_inferior")
    assert auc.low is not None
    just_enough, not_enough = -auc.low + 1e-6, -auc.low - 1e-6
    assert find(checks(scored, auc_margin=just_enough), "auc_non_inferior").outcome is Outcome.PASS
    assert find(checks(scored, auc_margin=not_enough), "auc_non_inferior").outcome is Outcome.FAIL
