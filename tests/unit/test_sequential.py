"""The e-process: its expectation by exact enumeration, its bound in simulation, and its values beside another computation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import logsumexp
from scipy.stats import binom, multinomial, norm

from quicksilver.rollout.sequential import OCTILES, OTHER, RESHAPED, WORSE, Block, EProcess, Tilt

RATES = st.floats(0.001, 0.999)
FAMILIES = pytest.mark.parametrize("tilts", [WORSE, OTHER, RESHAPED], ids=["worse", "other", "reshaped"])


def count_vectors(total: int, outcomes: int) -> Iterator[tuple[int, ...]]:
    """Every way in which so many observations can fall on so many outcomes."""
    if outcomes == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in count_vectors(total - first, outcomes - 1):
            yield (first, *rest)


def expectation(
    tilts: Sequence[Tilt], expected: Sequence[float], truth: Sequence[float], ours: int, theirs: int
) -> float:
    """E[e] of one block whose arms both draw from ``truth``, by adding up every pair of counts."""
    total = 0.0
    for canary in count_vectors(ours, len(truth)):
        chance = multinomial.pmf(canary, ours, truth) if ours else 1.0
        for champion in count_vectors(theirs, len(truth)):
            both = chance * (multinomial.pmf(champion, theirs, truth) if theirs else 1.0)
            total += both * math.exp(
                EProcess.over(tuple(tilts)).after(Block(canary, champion, expected)).log_evidence
            )
    return total


@settings(max_examples=60, deadline=None)
@given(
    tilts=st.sampled_from([WORSE, OTHER]),
    expected=RATES,
    truth=RATES,
    ours=st.integers(0, 6),
    theirs=st.integers(0, 8),
)
def test_no_block_is_expected_to_win_while_both_arms_are_the_same(
    tilts: tuple[Tilt, ...], expected: float, truth: float, ours: int, theirs: int
) -> None:
    won = expectation(tilts, (1 - expected, expected), (1 - truth, truth), ours, theirs)
    assert won <= 1 + 1e-9


@settings(max_examples=25, deadline=None)
@given(
    shares=st.tuples(*[st.floats(0.05, 1)] * 3),
    truth=st.tuples(*[st.floats(0.05, 1)] * 3),
    tilt=st.builds(Tilt.of, *[st.floats(-4, 4)] * 3),
)
def test_no_block_of_three_outcomes_is_either_whatever_the_tilt(
    shares: tuple[float, ...], truth: tuple[float, ...], tilt: Tilt
) -> None:
    expected = tuple(share / sum(shares) for share in shares)
    same = tuple(share / sum(truth) for share in truth)
    assert expectation([tilt], expected, same, ours=2, theirs=3) <= 1 + 1e-9


def test_a_block_is_expected_to_win_when_the_canary_is_worse() -> None:
    """So that the bounds above are not those of a bet that is never placed."""
    grown = sum(
        binom.pmf(a, 20, 0.4)
        * binom.pmf(b, 40, 0.1)
        * EProcess.over(WORSE).after(Block((20 - a, a), (40 - b, b), (0.9, 0.1))).log_evidence
        for a, b in product(range(21), range(41))
    )
    assert grown > 1.0


@FAMILIES
@given(data=st.data())
def test_it_is_the_likelihood_ratio_of_turner_et_al(tilts: tuple[Tilt, ...], data: st.DataObject) -> None:
    """Beside scipy's multinomial likelihoods, written as the paper writes it."""
    size = len(tilts[0].changes)
    counts = st.lists(st.integers(0, 500), min_size=size, max_size=size)
    canary, champion = np.array(data.draw(counts)), np.array(data.draw(counts))
    shares = np.array(data.draw(st.lists(st.floats(0.01, 1), min_size=size, max_size=size)))
    tilt = data.draw(st.sampled_from(tilts))
    ours, theirs = canary.sum(), champion.sum()
    p_b = shares / shares.sum()
    p_a = p_b * np.exp(tilt.changes)
    p_a /= p_a.sum()
    p_0 = (ours * p_a + theirs * p_b) / max(ours + theirs, 1)
    by_hand = 0.0
    if ours and theirs:
        by_hand = (
            multinomial.logpmf(canary, ours, p_a) - multinomial.logpmf(canary, ours, p_0)
            + multinomial.logpmf(champion, theirs, p_b) - multinomial.logpmf(champion, theirs, p_0)
        )  # fmt: skip
    (found,) = Block(canary.tolist(), champion.tolist(), p_b.tolist()).log_e([tilt])
    assert math.isclose(found, by_hand, rel_tol=1e-6, abs_tol=1e-6)


@given(st.lists(st.tuples(*[st.integers(0, 50)] * 4), max_size=12))
def test_the_evidence_is_the_mean_over_the_tilts_of_products_over_blocks(
    blocks: list[tuple[int, int, int, int]],
) -> None:
    process = EProcess.over(WORSE)
    for a, c, b, d in blocks:
        process = process.after(Block((a, c), (b, d), (0.95, 0.05)))
    found = [Block((a, c), (b, d), (0.95, 0.05)).log_e(WORSE) for a, c, b, d in blocks]
    sums = np.sum([[0.0] * len(WORSE), *found], axis=0)
    assert math.isclose(process.log_evidence, logsumexp(sums) - math.log(len(WORSE)), abs_tol=1e-9)


@pytest.mark.parametrize(("canary", "champion"), [((0, 0), (990, 10)), ((5, 5), (0, 0)), ((0, 0), (0, 0))])
def test_a_block_without_one_of_the_arms_says_nothing(
    canary: tuple[int, int], champion: tuple[int, int]
) -> None:
    assert EProcess.over(WORSE).after(Block(canary, champion, (0.99, 0.01))).log_evidence == 0.0


def test_it_stays_finite_where_likelihoods_vanish() -> None:
    process = EProcess.over(WORSE)
    for _ in range(1_000):
        process = process.after(Block((0, 100_000), (10**7, 0), (1 - 1e-7, 1e-7)))
    assert math.isfinite(process.log_evidence)
    assert process.log_evidence > 1e6


def test_fewer_failures_are_no_evidence_of_more() -> None:
    assert EProcess.over(WORSE).after(Block((1_000, 0), (9_000, 1_000), (0.9, 0.1))).log_evidence < 0


@given(st.integers(1, 9))
def test_copies_of_observations_are_worth_what_the_observations_are(copies: int) -> None:
    once = EProcess.over(OTHER).after(Block((40, 10), (90, 10), (0.9, 0.1)))
    copied = EProcess.over(OTHER).after(
        Block((40 * copies, 10 * copies), (90 * copies, 10 * copies), (0.9, 0.1)), copies
    )
    assert math.isclose(once.log_evidence, copied.log_evidence, abs_tol=1e-9)


@FAMILIES
def test_whole_blocks_cross_their_threshold_no_more_often_than_ville_allows(tilts: tuple[Tilt, ...]) -> None:
    """500 runs of 60 blocks of a rate that drifts, looked at after each; an expected share far from the truth."""
    random = np.random.default_rng(20)
    size, alpha, runs = len(tilts[0].changes), 0.1, 500
    crossed = 0
    for _ in range(runs):
        process = EProcess.over(tilts)
        expected = random.dirichlet(np.full(size, 5.0))
        for _ in range(60):
            truth = random.dirichlet(1 + 200 * expected)
            canary, champion = (random.multinomial(count, truth).tolist() for count in (20, 180))
            process = process.after(Block(canary, champion, expected.tolist()))
            if process.log_evidence >= -math.log(alpha):
                crossed += 1
                break
    # Three standard errors above what may be.
    assert crossed / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_octile_tilts_move_spread_and_heap() -> None:
    assert {len(tilt.changes) for tilt in RESHAPED} == {OCTILES}
    assert len(set(RESHAPED)) == len(RESHAPED) == 6 + 2 + 8


def test_an_ordinary_test_at_every_look_would_not_do() -> None:
    """Five independent guards that share 1 %, forty looks, steps of 1, 5, 25 and 50 %: normal scores by their information."""
    information = np.repeat([share * (1 - share) for share in (0.01, 0.05, 0.25, 0.5)], 10)
    steps = np.random.default_rng(1).normal(size=(20_000, 5, 40)) * np.sqrt(information)
    scores = np.cumsum(steps, axis=2) / np.sqrt(np.cumsum(information))
    rolled_back = (np.abs(scores) > norm.isf(0.01 / 5 / 2)).any(axis=(1, 2)).mean()
    assert rolled_back == pytest.approx(1 / 7, abs=0.01)
