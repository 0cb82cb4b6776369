"""The gates' statistics against other people's code and against their own definitions, written out slowly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from quicksilver.gates.statistics import (
    Metrics,
    auc_covariance,
    auc_difference,
    auc_estimate,
    bootstrap,
    mean_estimate,
    midranks,
    resample_weights,
    roc_components,
    share_difference,
    share_ratio,
    wilson,
)

Sample = tuple[NDArray[np.float64], NDArray[np.bool_]]


def sample(rows: int, seed: int, *, tied: bool = False) -> Sample:
    rng = np.random.default_rng(seed)
    target = rng.random(rows) < 0.3
    target[:2] = [True, False]
    scores = 1 / (1 + np.exp(-(rng.normal(size=rows) + 1.2 * target - 1)))
    return (np.round(scores, 1) if tied else scores), target


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Scores on a coarse grid, so that ties are common, with both classes."""
    bad = draw(st.lists(st.integers(0, 8), min_size=1, max_size=12))
    good = draw(st.lists(st.integers(0, 8), min_size=1, max_size=12))
    scores = np.array([*bad, *good]) / 8
    return scores, np.array([True] * len(bad) + [False] * len(good))


def wins(scores: NDArray[np.float64], target: NDArray[np.bool_]) -> NDArray[np.float64]:
    """DeLong's kernel for every pair of a bad and a good row: 1 if outranked, 1/2 if tied."""
    bad, good = scores[target][:, None], scores[~target][None, :]
    return (bad > good) + 0.5 * (bad == good)


def slow_covariance(left: Sample, right: Sample) -> float:
    """DeLong et al. 1988, equations 4 to 7, by all pairs."""
    a, b = wins(*left), wins(*right)
    of_bad = np.cov(a.mean(axis=1), b.mean(axis=1), ddof=1)[0, 1] if len(a) > 1 else 0.0
    of_good = np.cov(a.mean(axis=0), b.mean(axis=0), ddof=1)[0, 1] if a.shape[1] > 1 else 0.0
    return float(of_bad / a.shape[0] + of_good / a.shape[1])


@given(samples())
def test_the_auc_is_sklearns_ties_and_all(rows: Sample) -> None:
    scores, target = rows
    assert roc_components(scores, target).auc == pytest.approx(roc_auc_score(target, scores), abs=1e-12)


@given(st.lists(st.integers(0, 5), min_size=1).map(np.array))
def test_midranks_are_scipys(values: NDArray[np.int64]) -> None:
    assert midranks(values.astype(float)).tolist() == stats.rankdata(values).tolist()


@given(samples(), st.integers(0, 99))
def test_delongs_covariance_by_midranks_is_that_of_all_pairs(rows: Sample, seed: int) -> None:
    scores, target = rows
    other = np.random.default_rng(seed).integers(0, 6, len(scores)) / 6
    left, right = roc_components(scores, target), roc_components(other, target)
    assert auc_covariance(left, right) == pytest.approx(slow_covariance(rows, (other, target)), abs=1e-12)
    assert auc_covariance(left, left) == pytest.approx(slow_covariance(rows, rows), abs=1e-12)


def test_the_interval_of_a_paired_auc_difference_is_narrower_than_of_two_samples() -> None:
    scores, target = sample(2_000, 1)
    other = np.clip(scores + np.random.default_rng(2).normal(scale=0.02, size=2_000), 0, 1)
    left, right = roc_components(scores, target), roc_components(other, target)
    paired = auc_difference(left, right, 0.95)
    alone = auc_estimate(left, 0.95)
    assert paired.value == pytest.approx(roc_auc_score(target, scores) - roc_auc_score(target, other))
    assert 0 < paired.high - paired.low < (alone.high - alone.low) / 2


def test_delongs_interval_covers_the_true_auc_as_often_as_it_says() -> None:
    # Two normals one standard deviation apart: the true AUC is Phi(1 / sqrt 2).
    truth = float(stats.norm.cdf(1 / math.sqrt(2)))
    rng = np.random.default_rng(5)
    target = np.arange(400) < 120
    covered = 0
    for _ in range(400):
        estimate = auc_estimate(roc_components(rng.normal(size=400) + target, target), 0.9)
        covered += estimate.low <= truth <= estimate.high
    assert 0.85 <= covered / 400 <= 0.95  # three standard errors of a coverage of 0.9 in 400 runs


@pytest.mark.parametrize("tied", [False, True])
def test_ks_brier_and_log_loss_are_scipys_and_sklearns(tied: bool) -> None:
    scores, target = sample(3_000, 3, tied=tied)
    ks, brier, loss, _ = Metrics(scores, target).values().tolist()
    assert ks == pytest.approx(stats.ks_2samp(scores[target], scores[~target]).statistic, abs=1e-12)
    assert brier == pytest.approx(brier_score_loss(target, scores), abs=1e-12)
    assert loss == pytest.approx(log_loss(target, scores), abs=1e-12)


@given(samples())
def test_ks_is_scipys_on_ties(rows: Sample) -> None:
    scores, target = rows
    expected = stats.ks_2samp(scores[target], scores[~target], method="exact").statistic
    assert Metrics(scores, target).values()[0] == pytest.approx(expected, abs=1e-12)


def test_ece_is_the_weighted_mean_gap_of_ten_bins_of_equal_mass() -> None:
    scores, target = sample(1_000, 4)
    by_score = np.argsort(scores)
    gaps = [
        abs(target[rows].mean() - scores[rows].mean()) * len(rows) for rows in np.array_split(by_score, 10)
    ]
    assert Metrics(scores, target).values()[3] == pytest.approx(sum(gaps) / 1_000, abs=1e-12)


def test_ece_of_one_score_for_all_is_how_far_it_is_off() -> None:
    target = np.arange(100) < 30
    assert Metrics(np.full(100, 0.5), target).values()[3] == pytest.approx(0.2)
    assert Metrics(np.full(100, 0.3), target).values()[3] == pytest.approx(0.0, abs=1e-12)


def test_weights_give_what_the_drawn_rows_themselves_give() -> None:
    scores, target = sample(300, 6, tied=True)
    (weights,) = resample_weights(300, 5, seed=1)
    resampled = Metrics(scores, target).values(weights)
    assert weights.sum(axis=1).tolist() == [300.0] * 5
    for row in range(5):
        drawn = np.repeat(np.arange(300), weights[row].astype(int))
        alone = Metrics(scores[drawn], target[drawn]).values()
        assert resampled[row, :3] == pytest.approx(alone[:3], abs=1e-12)


def test_resamples_are_fixed_by_their_seed_and_by_nothing_else() -> None:
    scores, target = sample(500, 7)
    first, again, other = (
        bootstrap([Metrics(scores, target)], 500, 200, seed)[0].resampled for seed in (1, 1, 2)
    )
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_models_are_resampled_by_the_same_weights_so_equal_ones_differ_by_nothing() -> None:
    scores, target = sample(500, 8)
    left, right = bootstrap([Metrics(scores, target), Metrics(scores.copy(), target)], 500, 200, 1)
    for name in Metrics.names:
        difference = left.difference(right, name, 0.95)
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_the_bootstraps_interval_of_a_mean_is_the_normal_one_for_many_rows() -> None:
    scores, target = sample(4_000, 9)
    (resampled,) = bootstrap([Metrics(scores, target)], 4_000, 2_000, 1)
    ours, normal = resampled.estimate("brier", 0.95), mean_estimate((scores - target) ** 2, 0.95)
    assert ours.low == pytest.approx(normal.low, abs=4e-4)
    assert ours.high == pytest.approx(normal.high, abs=4e-4)


def test_a_resample_without_one_of_the_classes_counts_for_nothing_in_ks() -> None:
    scores, target = np.array([0.1, 0.2, 0.3, 0.9]), np.array([False, False, False, True])
    (resampled,) = bootstrap([Metrics(scores, target)], 4, 300, 1)
    assert np.isnan(resampled.resampled[:, 0]).any()
    ks = resampled.estimate("ks", 0.95)
    assert (ks.value, ks.low, ks.high) == (1, 1, 1)


def test_progress_of_resampling_ends_at_the_whole() -> None:
    scores, target = sample(5_000, 10)
    steps: list[tuple[int, int]] = []
    bootstrap([Metrics(scores, target)], 5_000, 1_000, 1, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (1_000, 1_000)
    assert len(steps) > 1


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_scipys(share: tuple[int, int]) -> None:
    count, rows = share
    expected = stats.binomtest(count, rows).proportion_ci(0.95, method="wilson")
    ours = wilson(count, rows, 0.95)
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_share_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="needs rows"):
        wilson(0, 0, 0.95)


def test_newcombes_interval_is_that_of_his_paper() -> None:
    # Newcombe 1998, Statistics in Medicine 17, Table II, method 10: 56/70 against 48/80, and 10/10 against 0/10.
    first = share_difference(56, 70, 48, 80, 0.95)
    assert (round(first.low, 4), round(first.high, 4)) == (0.0524, 0.3339)
    second = share_difference(10, 10, 0, 10, 0.95)
    assert (round(second.low, 4), round(second.high, 4)) == (0.6075, 1.0)


def test_the_interval_of_a_ratio_is_scipys_relative_risk() -> None:
    expected = stats.contingency.relative_risk(30, 100, 60, 120).confidence_interval(0.95)
    ours = share_ratio(30, 100, 60, 120, 0.95)
    assert ours.value == pytest.approx(0.6)
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high))


def test_a_ratio_of_nothing_to_something_is_nothing_with_an_upper_end() -> None:
    ours = share_ratio(0, 50, 40, 100, 0.95)
    assert (ours.value, ours.low) == (0.0, 0.0)
    assert 0 < ours.high < 0.5
    with pytest.raises(ValueError, match="to nothing"):
        share_ratio(1, 50, 0, 100, 0.95)


@settings(max_examples=50)
@given(samples())
def test_turning_the_scores_round_turns_the_auc_round(rows: Sample) -> None:
    scores, target = rows
    there, back = roc_components(scores, target).auc, roc_components(1 - scores, target).auc
    assert there + back == pytest.approx(1)
