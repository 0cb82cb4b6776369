"""Realised and estimated performance, maturity and selection, against scikit-learn, scipy and the gates' own statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import CensoredData, ecdf, ks_2samp
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from quicksilver.gates.statistics import Metrics as RowMetrics, auc_estimate, roc_components
from quicksilver.performance.counts import BAD, BIN_WIDTH, GOOD, UNLABELLED, Answered, Arrival, Binned
from quicksilver.performance.estimated import as_they_are, calibration, estimated, pooled
from quicksilver.performance.maturity import MIN_FOLLOWED, Maturity, maturity
from quicksilver.performance.realised import CONFIDENCE, realised
from quicksilver.performance.selection import selection

EXACT = 1e-9


def binned(scores: np.ndarray, kinds: np.ndarray) -> Binned:
    """What the SQL counts, of rows."""
    sure = np.clip(scores, 1e-9, 1 - 1e-9)
    bins = np.floor(np.log(sure / (1 - sure)) / BIN_WIDTH).astype(int)
    return Binned.of(
        (int(bin), int(kind), 1, round(score * 1e9), round(score * score * 1e9))
        for bin, kind, score in zip(bins, kinds, scores, strict=True)
    )


def rows_of(counts: Binned) -> tuple[np.ndarray, np.ndarray]:
    """The labelled rows again, each with its bin's mean score, and whether it is bad."""
    rows = counts.rows[GOOD:].sum(axis=0)
    some = rows > 0
    mean = counts.score[GOOD:].sum(axis=0)[some] / rows[some]
    scores = np.concatenate([np.repeat(mean, counts.rows[kind][some]) for kind in (GOOD, BAD)])
    target = np.concatenate([np.full(counts.rows[kind][some].sum(), kind == BAD) for kind in (GOOD, BAD)])
    return scores, target


def simulated(rows: int, seed: int, *, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated scores with some two per cent of bad ones, and whether each row is bad; off unless ``slope`` is 1."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-5, 1.6, rows)
    bad = rng.random(rows) < 1 / (1 + np.exp(-odds))
    return 1 / (1 + np.exp(-slope * odds)), bad


@pytest.mark.parametrize("seed", range(8))
def test_realised_metrics_are_those_of_other_implementations_on_the_same_bins(seed: int) -> None:
    scores, bad = simulated(4_000, seed)
    counts = binned(scores, np.where(bad, BAD, GOOD))
    found = realised(counts)
    assert found is not None
    assert found.auc_interval is not None
    in_bins, target = rows_of(counts)
    assert found.metrics.auc == pytest.approx(roc_auc_score(target, in_bins), abs=EXACT)
    assert found.metrics.ks == pytest.approx(ks_2samp(in_bins[target], in_bins[~target]).statistic, abs=EXACT)
    # The Brier score is of the scores themselves, whatever the bins.
    assert found.metrics.brier == pytest.approx(brier_score_loss(bad, scores), abs=EXACT)
    assert found.metrics.calibration == pytest.approx(RowMetrics(in_bins, target).values()[3], abs=EXACT)
    delong = auc_estimate(roc_components(in_bins, target), CONFIDENCE)
    assert found.auc_interval == pytest.approx((delong.low, delong.high), abs=EXACT)


def test_bins_cost_little_of_what_the_rows_say_though_nearly_all_scores_are_below_a_hundredth() -> None:
    scores, bad = simulated(50_000, 1)
    found = realised(binned(scores, np.where(bad, BAD, GOOD)))
    assert found is not None
    assert (scores < 0.01).mean() > 0.5
    assert found.metrics.auc == pytest.approx(roc_auc_score(bad, scores), abs=2e-4)


def test_one_class_has_no_ranking_and_no_label_has_nothing() -> None:
    scores = np.array([0.1, 0.4, 0.4])
    found = realised(binned(scores, np.full(3, GOOD)))
    assert found is not None
    assert (found.metrics.auc, found.metrics.ks, found.auc_interval) == (None, None, None)
    assert found.metrics.brier == pytest.approx(np.mean(scores**2), abs=EXACT)
    assert realised(binned(scores, np.full(3, UNLABELLED))) is None
    assert realised(Binned.of([])) is None


def test_one_bad_row_has_an_auc_without_an_interval() -> None:
    found = realised(binned(np.array([0.1, 0.2, 0.9]), np.array([GOOD, GOOD, BAD])))
    assert found is not None
    assert (found.metrics.auc, found.auc_interval) == (1.0, None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([UNLABELLED, GOOD, BAD])), min_size=1, max_size=60)
)
def test_metrics_stay_in_their_bounds_and_do_not_depend_on_the_order(rows: list[tuple[float, int]]) -> None:
    scores, kinds = np.array([score for score, _ in rows]), np.array([kind for _, kind in rows])
    found, again = realised(binned(scores, kinds)), realised(binned(scores[::-1], kinds[::-1]))
    assert found == again
    for metrics in [estimated(binned(scores, kinds)), *([found.metrics] if found else [])]:
        for value in (metrics.auc, metrics.ks, metrics.brier, metrics.calibration):
            assert value is None or -1e-8 <= value <= 1 + 1e-8
    if found and found.auc_interval:
        low, high = found.auc_interval
        assert found.metrics.auc is not None
        assert 0 <= low <= found.metrics.auc <= high <= 1


# -- estimated --


@pytest.mark.parametrize("seed", range(5))
def test_of_calibrated_scores_the_estimate_is_what_labels_show_within_chance(seed: int) -> None:
    scores, bad = simulated(60_000, 100 + seed)
    before = estimated(binned(scores, np.full(len(scores), UNLABELLED)))
    after = realised(binned(scores, np.where(bad, BAD, GOOD)))
    assert after is not None
    assert after.auc_interval is not None
    assert before.calibration is None
    error = (after.auc_interval[1] - after.auc_interval[0]) / (2 * 1.96)
    assert before.auc == pytest.approx(after.metrics.auc, abs=4 * error)
    of_rows = (scores - bad) ** 2
    assert before.brier == pytest.approx(after.metrics.brier, abs=4 * of_rows.std() / len(bad) ** 0.5)
    # A maximum is never below its value at one place, and exceeds it by chance at most.
    assert before.ks == pytest.approx(after.metrics.ks, abs=4 / (2 * bad.sum() ** 0.5))


def test_an_estimate_is_the_mean_over_many_labellings() -> None:
    scores, _ = simulated(600, 7, slope=1.0)
    scores = np.clip(scores * 8, 0, 0.9)
    rng = np.random.default_rng(3)
    drawn = [
        realised(binned(scores, np.where(rng.random(len(scores)) < scores, BAD, GOOD))) for _ in range(400)
    ]
    found = estimated(binned(scores, np.full(len(scores), UNLABELLED)))
    for name in ("auc", "brier"):
        values = np.array([getattr(each.metrics, name) for each in drawn if each])
        assert getattr(found, name) == pytest.approx(
            values.mean(), abs=4 * values.std() / len(values) ** 0.5 + 2e-3
        )


def test_scores_that_are_off_are_calibrated_on_earlier_labels() -> None:
    earlier, earlier_bad = simulated(80_000, 11, slope=0.5)
    scores, bad = simulated(80_000, 12, slope=0.5)
    counts = binned(scores, np.full(len(scores), UNLABELLED))
    calibrate = calibration(binned(earlier, np.where(earlier_bad, BAD, GOOD)))
    after = realised(binned(scores, np.where(bad, BAD, GOOD)))
    assert after is not None
    off, found = estimated(counts), estimated(counts, calibrate)
    assert found.auc == pytest.approx(after.metrics.auc, abs=0.02)
    assert abs(off.auc - after.metrics.auc) > 0.1  # type: ignore[operator]
    assert found.brier == pytest.approx(after.metrics.brier, abs=0.002)
    assert found.calibration == pytest.approx(after.metrics.calibration, abs=0.01)
    assert found.calibration is not None
    assert found.calibration > 0.05


@pytest.mark.parametrize("seed", range(5))
def test_calibration_is_isotonic_regression(seed: int) -> None:
    scores, bad = simulated(3_000, 20 + seed)
    counts = binned(scores, np.where(bad, BAD, GOOD))
    in_bins, target = rows_of(counts)
    oracle = IsotonicRegression(out_of_bounds="clip").fit(in_bins, target)
    asked = np.linspace(0, 1, 201)
    assert calibration(counts)(asked) == pytest.approx(oracle.predict(asked), abs=EXACT)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 50)), min_size=1, max_size=40))
def test_what_is_pooled_never_falls_and_keeps_the_mean(rows: list[tuple[float, int]]) -> None:
    values, weights = (np.array(each, dtype=np.float64) for each in zip(*rows, strict=True))
    fitted = pooled(values, weights)
    assert (np.diff(fitted) >= -1e-12).all()
    assert np.dot(fitted, weights) == pytest.approx(np.dot(values, weights))
    rising = np.sort(values)
    assert pooled(rising, weights) == pytest.approx(rising)


def test_nothing_is_estimated_of_nothing() -> None:
    assert estimated(Binned.of([])).auc is None
    assert as_they_are(np.array([0.5])) == np.array([0.5])


# -- maturity --


def arrivals_of(ages: np.ndarray, days: np.ndarray) -> list[Arrival]:
    return [
        Arrival(0, int(age), int(day) if day >= 0 else None, 1) for age, day in zip(ages, days, strict=True)
    ]


def lives(rows: int, seed: int, *, label_days: int, never: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Ages in whole days, and the day in which the label came; -1 for none by now."""
    rng = np.random.default_rng(seed)
    ages = rng.uniform(0, label_days * 1.5, rows)
    came = np.where(rng.random(rows) < never, np.inf, rng.exponential(label_days / 4, rows))
    return np.floor(ages).astype(int), np.where(came <= ages, np.floor(came), -1).astype(int)


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_the_product_limit_estimator_of_scipy(seed: int) -> None:
    ages, days = lives(3_000, seed, label_days=20)
    found = maturity(arrivals_of(ages, days), 20)
    came = (days >= 0) & (days + 1 <= ages)
    oracle = ecdf(CensoredData(uncensored=(days + 1)[came], right=ages[~came])).cdf
    assert found.followed_days == 20
    assert found.known == pytest.approx(oracle.evaluate(np.arange(21)), abs=EXACT)
    assert found.known[1] > 0


def test_the_curve_shows_what_old_predictions_alone_would_show() -> None:
    ages, days = lives(200_000, 9, label_days=20)
    old = ages >= 20
    truth = ((days[old] >= 0) & (days[old] < 20)).mean()
    assert maturity(arrivals_of(ages, days), 20).ever == pytest.approx(truth, abs=0.01)


def test_where_nobody_was_followed_to_the_end_nobody_knows_how_ripe_a_window_is() -> None:
    young = [
        Arrival(0, 5, 1, MIN_FOLLOWED),
        Arrival(0, 5, None, MIN_FOLLOWED),
        Arrival(0, 20, 1, MIN_FOLLOWED - 1),
    ]
    found = maturity(young, 20)
    assert (found.followed_days, found.ever, found.ripeness([(5, 10)])) == (5, None, None)
    assert found.ripeness([(20, 10), (25, 3)]) == 1.0
    enough = maturity([*young, Arrival(0, 20, 1, 1)], 20)
    assert (enough.followed_days, enough.ripeness([(1, 10)])) == (20, 0.0)
    assert enough.ripeness([(2, 10)]) == 1.0


def test_ripeness_is_of_the_labels_that_ever_come() -> None:
    curve = Maturity(np.array([0.0, 0.1, 0.3, 0.4]), 3)
    assert curve.ripeness([(0, 5)]) == 0.0
    assert curve.ripeness([(1, 1), (2, 1)]) == pytest.approx(0.5)
    assert curve.ripeness([(7, 4)]) == 1.0
    assert curve.ripeness([(7, 1), (1, 1)]) == pytest.approx(0.625)
    assert curve.ripeness([]) is None
    assert Maturity(np.zeros(4), 3).ripeness([(2, 5)]) is None


# -- selection --


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((0, 0, 0, 0), "There are no predictions."),
        ((10, 5, 0, 0), "Nobody was declined"),
        ((0, 0, 10, 5), "Everybody was declined"),
        ((10, 0, 10, 0), "Nothing is judged yet"),
        ((100, 80, 50, 0), "80.0% of the approved have a label and 0.0% of the declined. Declined applicants leave next to no"),
        ((100, 80, 50, 20), "under-represented"),
        ((100, 80, 50, 40), "Both are judged alike"),
    ],
)  # fmt: skip
def test_what_declined_applicants_do_to_the_metrics_is_said(
    counts: tuple[int, int, int, int], words: str
) -> None:
    assert words in selection(Answered((), *counts)).sentence
