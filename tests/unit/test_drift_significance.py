"""P-values: held to scipy and to exact fractions, at or below their level, the same every time, and cheap where dull."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import betabinom, chi2, chi2_contingency, fisher_exact

from quicksilver.drift import significance
from quicksilver.drift.significance import (
    chi_square_tail,
    fisher,
    monte_carlo,
    outside,
    p_value,
    thinned,
)
from quicksilver.drift.statistics import expected_counts

EXACT = {"rel": 1e-9, "abs": 1e-12}


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 200)] * 4))
def test_two_bins_are_fishers_exact_test(cells: tuple[int, int, int, int]) -> None:
    one, other = np.array(cells[:2]), np.array(cells[2:])
    expected = fisher_exact([one, other]).pvalue
    assert p_value(one, other) == pytest.approx(
        1.0 if not one.sum() or not other.sum() else expected, **EXACT
    )


@settings(deadline=None)
@given(
    st.tuples(*[st.integers(0, 12)] * 4).filter(
        lambda c: c[0] + c[1] and c[2] + c[3] and c[0] + c[2] and c[1] + c[3]
    )
)
def test_fishers_test_is_the_exact_fraction(cells: tuple[int, int, int, int]) -> None:
    a, b, c, d = cells
    first, drawn, total = a + c, a + b, a + b + c + d

    def chance(k: int) -> Fraction:
        return Fraction(comb(first, k) * comb(total - first, drawn - k), comb(total, drawn))

    support = range(max(0, drawn - (total - first)), min(first, drawn) + 1)
    exact = sum(chance(k) for k in support if chance(k) <= chance(a))
    assert fisher(np.array([a, b]), np.array([c, d])) == pytest.approx(float(exact), rel=1e-9)


def test_fishers_test_takes_millions_of_rows() -> None:
    near = np.array([5_000_000, 5_000_000]), np.array([5_001_000, 4_999_000])
    expected = chi2_contingency(near, correction=True).pvalue
    assert fisher(*near) == pytest.approx(expected, rel=1e-6)
    far = fisher(np.array([9_000_000, 1_000_000]), np.array([1_000_000, 9_000_000]))
    assert 0 < far < 1e-300


@settings(deadline=None)
@given(st.floats(0, 3_000), st.integers(1, 1_500))
def test_the_chi_square_tail_is_that_of_scipy(statistic: float, freedom: int) -> None:
    expected = chi2.sf(statistic, freedom)
    assert chi_square_tail(statistic, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def small_tables() -> st.SearchStrategy[tuple[list[int], list[int]]]:
    counts = st.lists(st.integers(0, 4), min_size=3, max_size=4).filter(any)
    return st.tuples(counts, counts).filter(lambda pair: len(pair[0]) == len(pair[1]))


@settings(max_examples=25, deadline=None)
@given(small_tables())
def test_a_simulation_is_the_share_of_all_divisions_of_the_rows(samples: tuple[list[int], list[int]]) -> None:
    kept = [(a, b) for a, b in zip(*samples, strict=True) if a + b]
    if len(kept) < 2:
        return
    one, other = np.array(kept).T
    rows = [place for place, (a, b) in enumerate(kept) for _ in range(a + b)]

    def ratio(counts: list[int]) -> float:
        total = 0.0
        for (a, b), count in zip(kept, counts, strict=True):
            for had, size in ((count, int(one.sum())), (a + b - count, int(other.sum()))):
                if had:
                    total += had * math.log(had / ((a + b) * size / len(rows)))
        return total

    if comb(len(rows), int(one.sum())) > 4_000:
        return
    seen = ratio(list(one))
    divisions = [
        ratio([sum(rows[i] == place for i in chosen) for place in range(len(kept))])
        for chosen in combinations(range(len(rows)), int(one.sum()))
    ]
    exact = sum(value >= seen - 1e-9 for value in divisions) / len(divisions)
    estimate = monte_carlo(one, other, draws=20_000)
    # Stopped after ten, an estimate has a relative error of a third; not stopped, it is finer.
    assert abs(math.log(estimate / exact)) < 1.6 if exact > 1e-3 else estimate < 0.01


@pytest.mark.parametrize(
    ("shares", "rows", "others"),
    [
        ([0.5, 0.3, 0.199, 0.001], 2_000, 100),
        ([0.9] + [0.01] * 10, 20_000, 200),
        ([0.1] * 10, 20_000, 60),
        ([0.1] * 10, 20_000, 1_000),
        ([0.97, 0.03], 500, 100),
        ([0.2, 0.3, 0.5], 50, 50),
    ],
)
def test_alike_samples_are_told_apart_no_oftener_than_the_level(
    shares: list[float], rows: int, others: int
) -> None:
    random = np.random.default_rng(3)
    runs = 3_000
    p = np.array(
        [p_value(random.multinomial(rows, shares), random.multinomial(others, shares)) for _ in range(runs)]
    )
    for level in (0.05, 0.01, 0.002):
        # Three standard errors: a level that were kept by luck alone would be passed by one time in 700.
        assert np.mean(p <= level) <= level + 3 * math.sqrt(level * (1 - level) / runs), level


def test_far_out_the_chi_square_tail_is_not_trusted_where_counts_are_moderate() -> None:
    """A bin of which 10 rows are expected has 26: the tail is ten times too sure of that."""
    was, now = np.array([18_000, 2_000, 2_000, 2_000]), np.array([89, 3, 26, 2])
    tail = chi_square_tail(float(chi2_contingency([was, now], correction=False).statistic), 3)
    assert significance._SURE < tail < 1e-7
    assert p_value(was, now, draws=2_000_000) > 10 * tail


def test_a_simulation_is_the_same_every_time_and_whichever_sample_comes_first() -> None:
    one, other = np.array([40, 3, 1, 0, 7]), np.array([30, 9, 0, 2, 3])
    assert monte_carlo(one, other) == monte_carlo(one, other) == monte_carlo(other, one)


def test_a_simulation_reaches_what_false_discovery_control_of_hundreds_asks_for() -> None:
    apart = np.array([60, 40, 1]), np.array([5, 90, 4])
    assert monte_carlo(*apart, draws=199_999) == 1 / 200_000 < 0.005 / 200


def test_a_dull_hypothesis_costs_a_hundred_draws_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    ratio = significance._likelihood_ratio
    monkeypatch.setattr(
        significance,
        "_likelihood_ratio",
        lambda small, *rest: drawn.append(len(small)) or ratio(small, *rest),
    )
    assert monte_carlo(np.array([50, 3, 2]), np.array([52, 2, 3])) > 0.05
    assert sum(drawn) < 1_000


def test_where_nothing_is_in_doubt_nothing_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty levels, most of them rare, and half of the rows gone to one of them."""
    monkeypatch.setattr(significance, "monte_carlo", lambda *_args, **_: pytest.fail("nothing was in doubt"))
    was = np.array([15_000, 4_000, *[30] * 28])
    now = np.array([700, 200, 900, *[1] * 27])
    assert p_value(was, now) < 1e-9
    assert p_value(np.array([5_000, 3_000, 2_000]), np.array([51, 30, 19])) > 0.05


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=12))
def test_bins_put_together_lose_no_row_and_are_no_longer_small(cells: list[tuple[int, int]]) -> None:
    kept = [cell for cell in cells if sum(cell)]
    one, other = np.array([a for a, _ in kept]), np.array([b for _, b in kept])
    if len(kept) < 2 or not one.sum() or not other.sum():
        return
    merged = significance._merged(one, other)
    assert [each.sum() for each in merged] == [one.sum(), other.sum()]
    if len(merged[0]) > 1:
        least = min(each.min() for each in expected_counts(*merged))
        assert least >= significance._FEW - 1e-9


@pytest.mark.parametrize(
    ("one", "other"),
    [([5], [7]), ([0, 5], [0, 7]), ([0, 0], [3, 4]), ([3, 4, 5], [0, 0, 0]), ([1, 0, 0], [0, 0, 1])],
)
def test_where_there_is_nothing_to_compare_the_p_value_is_one(one: list[int], other: list[int]) -> None:
    assert p_value(np.array(one), np.array(other)) == 1.0


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(2, 60), st.data())
def test_outside_a_range_of_its_own_the_reference_has_an_exact_chance(
    rows: int, reference_rows: int, data: st.DataObject
) -> None:
    beyond = data.draw(st.integers(1, rows))
    both = rows + reference_rows
    # Among the beyond + 1 largest of all, none or one is the reference's.
    exact = Fraction(comb(rows, beyond + 1) + reference_rows * comb(rows, beyond), comb(both, beyond + 1))
    assert outside(beyond, rows, reference_rows) == pytest.approx(float(exact), rel=1e-9)
    assert float(exact) == pytest.approx(betabinom.sf(beyond - 1, rows, 2, reference_rows - 1), rel=1e-6)


def test_outside_is_what_samples_of_one_distribution_do() -> None:
    random = np.random.default_rng(11)
    runs, rows, reference_rows = 20_000, 30, 50
    reference = random.standard_cauchy((runs, reference_rows))
    current = random.standard_cauchy((runs, rows))
    beyond = ((current < reference.min(1)[:, None]) | (current > reference.max(1)[:, None])).sum(1)
    for least in (1, 2, 4):
        assert np.mean(beyond >= least) == pytest.approx(outside(least, rows, reference_rows), abs=0.01)


def test_outside_takes_millions_of_rows_and_none() -> None:
    assert outside(0, 100, 20_000) == outside(5, 10, 0) == 1.0
    assert 0 < outside(100_000, 10_000_000, 20_000) < 1e-80
    assert outside(1, 10_000_000, 20_000) == pytest.approx(1.0, abs=1e-5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=12), st.floats(0, 20_000))
def test_thinning_keeps_proportions_to_within_a_row(counts: list[int], effective: float) -> None:
    array = np.array(counts)
    made = thinned(array, effective)
    rows = sum(counts)
    assert made.sum() == (min(rows, max(1, int(effective))) if rows else 0)
    assert (made >= 0).all()
    if rows:
        assert (np.abs(made - array * (made.sum() / rows)) < 1).all()


def test_copies_of_rows_are_no_evidence_once_they_are_thinned() -> None:
    was, now = np.array([9_000, 1_000]), np.array([80, 20])
    copied = p_value(was, now * 50)
    assert copied < 1e-50
    assert p_value(was, thinned(now * 50, 100.0)) == p_value(was, now) > 1e-4


def test_more_rows_than_can_be_drawn_from_are_thinned() -> None:
    huge = np.array([2_000_000_000, 1_000_000_000, 3])
    few = np.array([60, 40, 3])
    assert thinned(huge, math.inf).sum() == significance._ROWS
    assert 0 < p_value(thinned(huge, math.inf), few) < 0.05
