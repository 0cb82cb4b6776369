"""An arm's measures against other people's implementations, and its sums against the whole."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import log_loss, roc_auc_score

from quicksilver.experiment.measures import (
    NEVER,
    SCORE_BINS,
    ArmSums,
    Observations,
    estimates,
    log_losses,
    score_bins,
    sums_at,
)
from quicksilver.experiment_plan import Costs, Measure
from quicksilver.frame import Floats
from quicksilver.gates.statistics import auc_covariance, roc_components

CUTOFF = 0.3
COSTS = Costs(missed_bad=700, declined_good=300)
NOW = np.array([1_000], dtype=np.int64)


def observed(seed: int, rows: int, known: float = 1.0) -> Observations:
    """Rows of a score that is worth something, seen within the first second and ripe within the next."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1.5, 1.5, rows)
    score: Floats = 1 / (1 + np.exp(-logit))
    seen = rng.integers(0, 900, rows)
    ripe = np.where(rng.random(rows) < known, seen + rng.integers(0, 900, rows), NEVER)
    return Observations(seen, ripe, score, rng.random(rows) < score)


def equal(one: ArmSums, other: ArmSums) -> bool:
    return all(
        np.allclose(getattr(one, f.name), getattr(other, f.name), rtol=1e-12)
        for f in dataclasses.fields(ArmSums)
    )


def subset(rows: Observations, where: np.ndarray) -> Observations:
    return Observations(rows.seen_ms[where], rows.ripe_ms[where], rows.score[where], rows.bad[where])


@pytest.fixture(scope="module")
def rows() -> Observations:
    return observed(7, 4_000)


@pytest.fixture(scope="module")
def sums(rows: Observations) -> ArmSums:
    return sums_at(rows, np.array([2_000]), CUTOFF)[0]


def test_auc_and_ks_are_others_on_scores_rounded_to_bins(rows: Observations, sums: ArmSums) -> None:
    bins = score_bins(rows.score)
    found = estimates(sums, COSTS)
    assert float(found[Measure.AUC].value) == pytest.approx(roc_auc_score(rows.bad, bins), abs=1e-12)
    statistic = ks_2samp(bins[rows.bad], bins[~rows.bad]).statistic
    assert float(found[Measure.KS].value) == pytest.approx(statistic, abs=1e-12)


def test_rounding_to_bins_hardly_moves_them(rows: Observations, sums: ArmSums) -> None:
    found = estimates(sums, COSTS)
    assert float(found[Measure.AUC].value) == pytest.approx(roc_auc_score(rows.bad, rows.score), abs=2e-4)
    statistic = ks_2samp(rows.score[rows.bad], rows.score[~rows.bad]).statistic
    assert float(found[Measure.KS].value) == pytest.approx(statistic, abs=0.01)


def test_the_variance_of_auc_is_delongs(rows: Observations, sums: ArmSums) -> None:
    components = roc_components(score_bins(rows.score).astype(np.float64), rows.bad)
    variance = float(estimates(sums, COSTS)[Measure.AUC].variance)
    assert variance == pytest.approx(auc_covariance(components, components), rel=1e-9)


@pytest.mark.parametrize("measure", list(Measure))
def test_variances_are_those_of_resampling_whole_entities(
    rows: Observations, sums: ArmSums, measure: Measure
) -> None:
    """The bootstrap knows none of our formulas. KS is bounded from above; the others are met within the bootstrap's noise."""
    rng = np.random.default_rng(3)
    late = np.array([2_000])
    resampled = [
        float(
            estimates(sums_at(subset(rows, rng.integers(0, len(rows), len(rows))), late, CUTOFF)[0], COSTS)[
                measure
            ].value
        )
        for _ in range(400)
    ]
    ratio = float(estimates(sums, COSTS)[measure].variance) / float(np.var(resampled))
    assert (1.0 < ratio < 4.0) if measure is Measure.KS else (0.8 < ratio < 1.25)


def test_log_loss_approval_rate_and_expected_loss_are_plain_means(rows: Observations, sums: ArmSums) -> None:
    found = estimates(sums, COSTS)
    assert float(found[Measure.LOG_LOSS].value) == pytest.approx(log_loss(rows.bad, rows.score), rel=1e-12)
    approved = rows.score < CUTOFF
    assert float(found[Measure.APPROVAL_RATE].value) == approved.mean()
    losses = np.where(approved & rows.bad, 700, np.where(~approved & ~rows.bad, 300, 0))
    assert float(found[Measure.EXPECTED_LOSS].value) == pytest.approx(losses.mean())
    for measure, values in (
        (Measure.LOG_LOSS, log_losses(rows.score, rows.bad)),
        (Measure.APPROVAL_RATE, approved.astype(float)),
        (Measure.EXPECTED_LOSS, losses.astype(float)),
    ):
        assert float(found[measure].variance) == pytest.approx(values.var(ddof=1) / len(rows), rel=1e-9)


@pytest.mark.parametrize("score", [0.0, 1.0, 1e-300, 1 - 1e-16])
def test_a_certain_score_has_a_bin_and_a_finite_loss(score: float) -> None:
    one = np.array([score])
    assert 0 <= score_bins(one)[0] < SCORE_BINS
    assert np.isfinite(log_losses(one, np.array([score < 0.5])))[0]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 300),
    st.lists(st.integers(0, 1_900), min_size=1, max_size=6, unique=True),
)
def test_sums_of_parts_add_up_to_those_of_the_whole(seed: int, rows: int, looks: list[int]) -> None:
    whole = observed(seed, rows, known=0.7)
    at = np.array(sorted(looks))
    part = np.random.default_rng(seed).random(rows) < 0.4
    together = sums_at(subset(whole, part), at, CUTOFF) + sums_at(subset(whole, ~part), at, CUTOFF)
    assert equal(together, sums_at(whole, at, CUTOFF))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 1_900), min_size=2, max_size=6, unique=True))
def test_a_look_back_shows_what_a_look_then_had_shown(seed: int, looks: list[int]) -> None:
    whole = observed(seed, 200, known=0.7)
    at = np.array(sorted(looks))
    together = sums_at(whole, at, CUTOFF)
    for place, moment in enumerate(at):
        then = subset(whole, whole.seen_ms <= moment)
        unripe = then.ripe_ms > moment
        then = dataclasses.replace(then, ripe_ms=np.where(unripe, NEVER, then.ripe_ms))
        assert equal(together[place], sums_at(then, at[[place]], CUTOFF)[0])


def test_an_arm_that_nobody_has_met_has_no_estimate() -> None:
    nobody = sums_at(observed(1, 0), NOW, CUTOFF)[0]
    found = estimates(nobody, COSTS)
    assert all(np.isnan(estimate.value) for estimate in found.values())
