"""Distances of histograms: held to scipy, to a second implementation in plain Python, and to what they must be at the ends."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, entropy, ks_2samp, wasserstein_distance

from quicksilver.drift import statistics
from quicksilver.profile import CategoryHistogram, NumericHistogram

EXACT = {"rel": 1e-9, "abs": 1e-9}
COUNT = st.one_of(st.just(0), st.integers(0, 30), st.integers(0, 1_000_000))


@st.composite
def two_samples(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    bins = draw(st.integers(1, 20))
    samples = [draw(st.lists(COUNT, min_size=bins, max_size=bins).filter(any)) for _ in range(2)]
    return samples[0], samples[1]


@st.composite
def two_histograms(draw: st.DrawFn) -> tuple[NumericHistogram, NumericHistogram]:
    edges = tuple(sorted(draw(st.sets(st.integers(-1_000, 1_000), min_size=1, max_size=12))))
    size = len(edges) + 1
    count = st.integers(0, 40)
    made = [
        NumericHistogram(
            edges=edges, counts=draw(st.lists(count, min_size=size, max_size=size).filter(any)), missing=draw(count)
        )
        for _ in range(2)
    ]  # fmt: skip
    return made[0], made[1]


def arrays(samples: tuple[list[int], list[int]]) -> tuple[statistics.Counts, statistics.Counts]:
    return np.array(samples[0]), np.array(samples[1])


def plain_psi(reference: list[int], current: list[int]) -> float:
    pairs = [(a, b) for a, b in zip(reference, current, strict=True) if a or b]
    big, small = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    row = {"reference": big / (big + small), "current": small / (big + small)}
    total = 0.0
    for a, b in pairs:
        p = (a + row["reference"]) / (big + row["reference"] * len(pairs))
        q = (b + row["current"]) / (small + row["current"] * len(pairs))
        total += (q - p) * (math.log(q) - math.log(p))
    return total


@settings(deadline=None)
@given(two_samples())
def test_psi_is_the_sum_of_both_relative_entropies(samples: tuple[list[int], list[int]]) -> None:
    found = statistics.psi(*arrays(samples))
    reference, current = (each[np.add(*arrays(samples)) > 0] for each in arrays(samples))
    share = reference.sum() / (reference.sum() + current.sum())
    p, q = reference + share, current + (1 - share)
    assert found == pytest.approx(entropy(p, q) + entropy(q, p), **EXACT)
    assert found == pytest.approx(plain_psi(*samples), **EXACT)
    assert found >= 0
    assert math.isfinite(found)


@settings(deadline=None)
@given(st.lists(COUNT, min_size=1, max_size=20).filter(any), st.integers(1, 1_000))
def test_the_same_proportions_are_no_distance_apart_whatever_the_sizes(counts: list[int], times: int) -> None:
    one, other = np.array(counts), np.array(counts) * times
    assert statistics.psi(one, other) == pytest.approx(0, abs=1e-12)
    assert statistics.jensen_shannon(one, other) == pytest.approx(0, abs=1e-7)
    assert statistics.chi_square(one, other) == pytest.approx(0, abs=1e-6)


@settings(deadline=None)
@given(two_samples())
def test_jensen_shannon_is_that_of_scipy_and_the_mean_entropy_gained(
    samples: tuple[list[int], list[int]],
) -> None:
    found = statistics.jensen_shannon(*arrays(samples))
    assert found**2 == pytest.approx(jensenshannon(*samples, base=2) ** 2, **EXACT)
    shares = [[count / sum(each) for count in each] for each in samples]
    middle = [(p + q) / 2 for p, q in zip(*shares, strict=True)]
    bits = [-sum(p * math.log2(p) for p in each if p) for each in (*shares, middle)]
    assert found**2 == pytest.approx(bits[2] - (bits[0] + bits[1]) / 2, abs=1e-9)
    assert 0 <= found <= 1 + 1e-12


@settings(deadline=None)
@given(two_samples())
def test_chi_square_is_that_of_the_contingency_table(samples: tuple[list[int], list[int]]) -> None:
    found = statistics.chi_square(*arrays(samples))
    table = np.array([column for column in zip(*samples, strict=True) if any(column)]).T
    assert found == pytest.approx(chi2_contingency(table, correction=False).statistic, **EXACT)
    rows = [sum(each) for each in samples]
    plain = 0.0
    for a, b in zip(*samples, strict=True):
        for count, size in ((a, rows[0]), (b, rows[1])):
            if expected := (a + b) * size / sum(rows):
                plain += (count - expected) ** 2 / expected
    assert found == pytest.approx(plain, **EXACT)


@settings(deadline=None)
@given(two_histograms())
def test_kolmogorov_smirnov_is_that_of_the_rows_at_their_bins(
    histograms: tuple[NumericHistogram, NumericHistogram],
) -> None:
    places = [np.repeat(np.arange(len(each.counts)), each.counts) for each in histograms]
    found = statistics.kolmogorov_smirnov(*histograms)
    assert found == pytest.approx(ks_2samp(*places, method="asymp").statistic, **EXACT)
    plain = max(
        abs(
            sum(histograms[0].counts[:i]) / sum(histograms[0].counts)
            - sum(histograms[1].counts[:i]) / sum(histograms[1].counts)
        )
        for i in range(len(histograms[0].counts) + 1)
    )
    assert found == pytest.approx(plain, **EXACT)


@settings(deadline=None)
@given(two_histograms())
def test_wasserstein_is_the_cost_of_moving_rows_between_representatives(
    histograms: tuple[NumericHistogram, NumericHistogram],
) -> None:
    reference, current = histograms
    spread = statistics.interquartile_range(reference)
    found = statistics.wasserstein(reference, current)
    if spread is None:
        assert found is None
        return
    places = statistics.representatives(reference.edges)
    moved = wasserstein_distance(places, places, reference.counts, current.counts)
    assert found == pytest.approx(moved / spread, **EXACT)
    inner = [(low + high) / 2 for low, high in pairwise(reference.edges)]
    plain, gap = 0.0, 0.0
    for place, (low, high) in enumerate(pairwise([reference.edges[0], *inner, reference.edges[-1]])):
        gap += reference.counts[place] / sum(reference.counts) - current.counts[place] / sum(current.counts)
        plain += abs(gap) * (high - low)
    assert found == pytest.approx(plain / spread, **EXACT)


def test_the_interquartile_range_is_that_of_the_rows() -> None:
    histogram = NumericHistogram(edges=tuple(range(101)), counts=(0, *[10] * 100, 0), missing=7)
    assert statistics.interquartile_range(histogram) == pytest.approx(50)
    values = np.random.default_rng(1).gamma(2.0, size=100_000)
    edges = np.quantile(values, np.linspace(0, 1, 51))
    fine = NumericHistogram(edges=tuple(edges), counts=(0, *[2_000] * 50, 0), missing=0)
    assert statistics.interquartile_range(fine) == pytest.approx(
        np.subtract(*np.quantile(values, (0.75, 0.25))), rel=0.01
    )


def test_a_shift_by_one_interquartile_range_is_one() -> None:
    edges = tuple(range(401))
    was = NumericHistogram(edges=edges, counts=(0, *[5] * 100, *[0] * 300, 0), missing=0)
    now = NumericHistogram(edges=edges, counts=(0, *[0] * 50, *[5] * 100, *[0] * 250, 0), missing=3)
    assert statistics.wasserstein(was, now) == pytest.approx(1.0)


def test_what_lies_outside_counts_as_at_the_end_of_the_range() -> None:
    was = NumericHistogram(edges=(0.0, 1.0, 2.0), counts=(0, 10, 10, 0), missing=0)
    beyond = NumericHistogram(edges=(0.0, 1.0, 2.0), counts=(0, 0, 0, 20), missing=0)
    assert statistics.wasserstein(was, beyond) == pytest.approx((2 - 1) / 1.0)


def test_a_constant_has_no_width_to_measure_by() -> None:
    constant = NumericHistogram(edges=(3.0, math.nextafter(3.0, 4)), counts=(0, 50, 0), missing=0)
    assert statistics.interquartile_range(constant) is None
    assert statistics.wasserstein(constant, constant) is None
    assert statistics.kolmogorov_smirnov(constant, constant) == 0


def test_of_no_values_there_is_no_distance_along_the_line() -> None:
    there = NumericHistogram(edges=(0.0, 1.0), counts=(0, 10, 0), missing=0)
    gone = NumericHistogram(edges=(0.0, 1.0), counts=(0, 0, 0), missing=10)
    for one, other in ((there, gone), (gone, there), (gone, gone)):
        assert statistics.kolmogorov_smirnov(one, other) is None
        assert statistics.wasserstein(one, other) is None


def test_what_is_missing_and_what_is_unseen_have_bins_of_their_own() -> None:
    category = CategoryHistogram(counts=(5, 6), unseen=7, missing=8)
    numeric = NumericHistogram(edges=(1.0,), counts=(5, 6), missing=8)
    assert statistics.bins_of(category).tolist() == [5, 6, 7, 8]
    assert statistics.bins_of(numeric).tolist() == [5, 6, 8]


@pytest.mark.parametrize("distance", [statistics.psi, statistics.jensen_shannon, statistics.chi_square])
def test_a_sample_of_no_rows_or_other_bins_is_refused(distance: object) -> None:
    assert callable(distance)
    with pytest.raises(ValueError, match="no rows"):
        distance(np.array([1, 2]), np.array([0, 0]))
    with pytest.raises(ValueError, match="same bins"):
        distance(np.array([1, 2]), np.array([1, 2, 3]))


@pytest.mark.parametrize(("rows", "others"), [(20_000, 300), (20_000, 5_000), (4_000, 4_000)])
def test_chance_adds_to_the_psi_what_it_is_said_to(rows: int, others: int) -> None:
    random = np.random.default_rng(7)
    shares = np.array([0.05, 0.1, 0.15, 0.2, 0.2, 0.3])
    found = [
        statistics.psi(random.multinomial(rows, shares), random.multinomial(others, shares)) for _ in range(3_000)
    ]  # fmt: skip
    assert np.mean(found) == pytest.approx(statistics.psi_by_chance(6, rows, others), rel=0.06)


def test_an_empty_bin_is_finite_and_an_old_figure_stays() -> None:
    """PSI by hand: shares 0.5, 0.3, 0.2 to 0.4, 0.3, 0.3 is 0.1 ln 1.25 + 0.1 ln 1.5 = 0.062861; many rows smooth nothing."""
    was, now = np.array([500_000, 300_000, 200_000]), np.array([400_000, 300_000, 300_000])
    assert statistics.psi(was, now) == pytest.approx(0.1 * math.log(1.25) + 0.1 * math.log(1.5), rel=1e-4)
    assert 0.1 < statistics.psi(np.array([100, 0]), np.array([90, 10])) < 1


@settings(deadline=None)
@given(two_histograms())
def test_a_rise_is_one_where_values_are_higher_throughout_and_turns_with_the_samples(
    histograms: tuple[NumericHistogram, NumericHistogram],
) -> None:
    one, other = histograms
    rise, fall = statistics.rise(one, other), statistics.rise(other, one)
    if rise is None or fall is None:
        assert rise is fall is None
        assert statistics.kolmogorov_smirnov(one, other) == pytest.approx(0, abs=1e-9)
        return
    assert rise == pytest.approx(-fall)
    assert abs(rise) <= 1 + 1e-12
    total = sum(one.counts)
    up = one.model_copy(update={"counts": (0, *one.counts[:-2], one.counts[-2] + one.counts[-1])})
    if up.counts != one.counts and total:
        assert statistics.rise(one, up) == pytest.approx(1)
