"""Confidence sequences against their papers' formulas, and the two properties that make them valid at any time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import lambertw
from scipy.stats import binom

from quicksilver.experiment.confidence_sequences import (
    entities_for,
    log_ratio_evidence,
    mixture_radius,
    mixture_variance,
)


def one_radius(entities: float, deviation: float, alpha: float = 0.05, planned: int = 10_000) -> float:
    at = np.array([entities], dtype=np.float64)
    return float(mixture_radius(at, np.array([deviation]), alpha=alpha, planned=planned)[0])


@given(st.integers(2, 10**8), st.floats(1e-3, 1e3), st.floats(1e-4, 0.2), st.integers(100, 10**7))
def test_the_radius_is_that_of_theorem_2_2(n: int, deviation: float, alpha: float, planned: int) -> None:
    """Waudby-Smith et al., in the form of the paper's equation: sigma sqrt(2 (n r + 1) / (n^2 r) log(sqrt(n r + 1) / alpha))."""
    r = mixture_variance(alpha, planned)
    expected = deviation * math.sqrt(2 * (n * r + 1) / (n**2 * r) * math.log(math.sqrt(n * r + 1) / alpha))
    assert one_radius(n, deviation, alpha, planned) == pytest.approx(expected, rel=1e-12)


@given(st.floats(1e-4, 0.2), st.integers(100, 10**7))
def test_the_mixture_is_the_papers_optimum_in_closed_form(alpha: float, planned: int) -> None:
    expected = (-lambertw(-(alpha**2) * math.exp(-1), -1).real - 1) / planned
    assert mixture_variance(alpha, planned) == pytest.approx(expected, rel=1e-9)


def test_it_is_wider_than_an_interval_for_one_look_and_narrows_for_ever() -> None:
    widths = [one_radius(n, 1.0) for n in (100, 1_000, 10_000, 100_000, 10**7)]
    assert widths == sorted(widths, reverse=True)
    assert all(
        width > 1.96 / math.sqrt(n)
        for width, n in zip(widths, (100, 1_000, 10_000, 100_000, 10**7), strict=True)
    )


@given(st.floats(1e-3, 1.0), st.floats(0.01, 10))
def test_the_entities_for_a_radius_are_the_fewest(radius: float, deviation: float) -> None:
    needed = entities_for(radius, deviation, alpha=0.05, planned=10_000)
    assert needed is not None
    assert one_radius(needed, deviation) <= radius
    assert needed == 1 or one_radius(needed - 1, deviation) > radius


def test_no_number_of_entities_makes_a_sequence_a_point() -> None:
    assert entities_for(0.0, 1.0, alpha=0.05, planned=10_000) is None
    assert entities_for(-0.1, 1.0, alpha=0.05, planned=10_000) is None
    assert entities_for(1e-9, 1.0, alpha=0.05, planned=10_000) is None


# -- counts by arm --


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.floats(0.5, 200))
def test_the_evidence_is_what_betting_entity_by_entity_would_have_won(
    arms: list[int], concentration: float
) -> None:
    """Pólya's urn: each entity is bet on by the share that its arm has had so far, against the declared one."""
    shares = (0.1, 0.89, 0.01)
    seen = [0, 0, 0]
    won = 0.0
    for place, arm in enumerate(arms):
        predicted = (concentration * shares[arm] + seen[arm]) / (concentration + place)
        won += math.log(predicted / shares[arm])
        seen[arm] += 1
    assert float(log_ratio_evidence(np.array(seen), shares, concentration)) == pytest.approx(won, abs=1e-8)


@pytest.mark.parametrize("entities", [1, 7, 50])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_under_the_declared_shares_nothing_is_won_on_average(entities: int, share: float) -> None:
    """A mean of 1 at every number of entities: with Ville's inequality, that is what bounds false alarms."""
    first = np.arange(entities + 1)
    evidence = log_ratio_evidence(np.column_stack([first, entities - first]), (share, 1 - share))
    assert float(np.sum(binom.pmf(first, entities, share) * np.exp(evidence))) == pytest.approx(1.0)


def test_a_share_that_is_off_by_a_tenth_is_noticed_and_one_that_is_right_is_not() -> None:
    limit = -math.log(0.001)
    assert log_ratio_evidence(np.array([11_000, 89_000]), (0.1, 0.9)) > limit
    assert log_ratio_evidence(np.array([10_050, 89_950]), (0.1, 0.9)) < 0


@pytest.mark.parametrize("shares", [(0.0, 1.0), (0.2, 0.7), (-0.1, 1.1)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        log_ratio_evidence(np.array([1, 2]), shares)
