"""The judgement of an experiment: each verdict by arms made for it, and nothing concluded from arms that are not what they should be."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from pydantic import ValidationError

from quicksilver.experiment.measures import NEVER, ArmSums, Observations, sums_at
from quicksilver.experiment.verdict import MIN_OF_CLASS, Arms, Judgement, Shares, entities_needed, judge
from quicksilver.experiment_plan import Costs, Measure, Terms, Verdict, implied_costs

SHARES = Shares.of(1_000, 100)
TERMS = Terms(cutoff=0.2, costs=implied_costs(0.2))
LATE = np.array([10_000])


def arm(entities: int, seed: int, *, noise: float = 0.0, known: float = 1.0) -> ArmSums:
    """An arm whose risk is known up to ``noise``; about a tenth of its entities is bad."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-2.8, 1.6, entities)
    bad = rng.random(entities) < 1 / (1 + np.exp(-logit))
    seen = rng.integers(0, 5_000, entities)
    ripe = np.where(rng.random(entities) < known, seen + 1, NEVER)
    score = 1 / (1 + np.exp(-(logit + noise * rng.normal(size=entities))))
    return sums_at(Observations(seen, ripe, score, bad), LATE, TERMS.cutoff)[0]


def judged(
    terms: Terms = TERMS,
    *,
    entities: int = 40_000,
    challenger_noise: float = 0.0,
    champion_noise: float = 0.0,
    extra: int = 0,
    challenger_known: float = 1.0,
    champion_known: float = 1.0,
) -> Judgement:
    """An experiment whose arms have their declared shares, but for ``extra`` entities of the challenger."""
    return judge(
        terms,
        SHARES,
        Arms(
            arm(
                round(SHARES.challenger * entities) + extra, 1, noise=challenger_noise, known=challenger_known
            ),
            arm(round(SHARES.champion * entities), 2, noise=champion_noise, known=champion_known),
            arm(round(SHARES.holdout * entities), 3, noise=champion_noise, known=champion_known),
        ),
    )


def changed(**change: object) -> Terms:
    return Terms.model_validate({**TERMS.model_dump(), **change})


def test_shares_are_of_the_entities_outside_the_holdout() -> None:
    assert pytest.approx((0.099, 0.891, 0.01)) == SHARES
    assert Shares.of(5_000, 0) == (0.5, 0.5, 0.0)


def test_a_better_challenger_wins_and_a_worse_one_loses() -> None:
    assert judged(champion_noise=3.0).verdict == Verdict.WIN
    assert judged(challenger_noise=3.0).verdict == Verdict.LOSS


@pytest.mark.parametrize("primary", [measure for measure in Measure if measure is not Measure.APPROVAL_RATE])
def test_each_measure_knows_which_side_is_better(primary: Measure) -> None:
    terms = changed(primary=primary)
    assert judged(terms, champion_noise=3.0).verdict == Verdict.WIN
    assert judged(terms, challenger_noise=3.0).verdict == Verdict.LOSS


def test_arms_that_are_alike_show_no_difference_worth_having_where_one_is_declared() -> None:
    assert judged().verdict == Verdict.NOT_YET
    assert judged(changed(minimum_effect=200)).verdict == Verdict.NO_DIFFERENCE


def test_a_difference_that_is_certain_and_not_worth_having_is_none() -> None:
    assert judged(changed(minimum_effect=10_000), champion_noise=3.0).verdict == Verdict.NO_DIFFERENCE


def test_more_entities_of_an_arm_than_its_share_make_it_invalid_whatever_it_shows() -> None:
    judgement = judged(champion_noise=3.0, extra=400)
    assert bool(judgement.assigned.mismatch)
    assert judgement.verdict == Verdict.INVALID


def test_outcomes_that_are_missing_in_one_arm_make_it_invalid() -> None:
    judgement = judged(champion_noise=3.0, challenger_known=0.85)
    assert not bool(judgement.assigned.mismatch)
    assert bool(judgement.known.mismatch)
    assert judgement.verdict == Verdict.INVALID


def test_outcomes_that_are_missing_in_all_arms_alike_do_not() -> None:
    assert judged(champion_noise=3.0, challenger_known=0.85, champion_known=0.85).verdict == Verdict.WIN


def test_nothing_is_concluded_before_each_arm_has_enough_of_each_class() -> None:
    judgement = judged(entities=4_000, champion_noise=3.0)
    assert int(judgement.arms.challenger.bads) < MIN_OF_CLASS
    assert judgement.verdict == Verdict.NOT_YET
    assert math.isnan(float(judgement.primary.radius))
    assert not math.isnan(float(judgement.differences[Measure.APPROVAL_RATE].radius)), "it needs no outcome"
    assert entities_needed(judgement) is None


def test_arms_without_any_wrong_decision_are_too_little_seen_and_not_certain() -> None:
    sums = arm(40_000, 1)
    spotless = dataclasses.replace(sums, decisions=np.array([[0, 39_000], [1_000, 0]]))
    judgement = judge(changed(minimum_effect=1), Shares.of(5_000, 0), Arms(spotless, spotless, arm(0, 2)))
    assert judgement.verdict == Verdict.NOT_YET


def test_only_the_ratio_of_costs_moves_a_verdict() -> None:
    cents = changed(costs=Costs(missed_bad=80_000, declined_good=20_000))
    one, other = judged(champion_noise=0.8).primary, judged(cents, champion_noise=0.8).primary
    assert float(other.low) == pytest.approx(10 * float(one.low))


def test_the_holdout_is_in_no_comparison() -> None:
    before = judged(champion_noise=1.0)
    swapped = Arms(before.arms.challenger, before.arms.champion, arm(400, 9, noise=5.0))
    after = judge(TERMS, SHARES, swapped)
    assert float(after.primary.value) == float(before.primary.value)


def test_what_is_still_needed_is_enough_if_effect_and_variance_stay() -> None:
    judgement = judged(champion_noise=0.6)
    assert judgement.verdict == Verdict.NOT_YET
    needed = entities_needed(judgement)
    assert needed
    times = 1 + needed / int(judgement.primary.entities)

    def grown(sums: ArmSums, factor: float) -> ArmSums:
        return ArmSums(*(getattr(sums, field.name) * factor for field in dataclasses.fields(sums)))

    enough = Arms(*(grown(sums, times * 1.001) for sums in judgement.arms))
    assert judge(TERMS, SHARES, enough).verdict == Verdict.WIN
    too_few = Arms(*(grown(sums, times * 0.99) for sums in judgement.arms))
    assert judge(TERMS, SHARES, too_few).verdict == Verdict.NOT_YET


def test_no_number_is_promised_for_an_effect_that_cannot_be_told_from_none() -> None:
    assert entities_needed(judged()) is None
    assert entities_needed(judged(changed(minimum_effect=60))) is not None


# -- the plan --


@pytest.mark.parametrize("cutoff", [0.05, 0.3, 0.5])
def test_implied_costs_make_the_cutoff_the_best_one(cutoff: float) -> None:
    """Declining costs (1 - p) * declined_good and approving p * missed_bad: they are equal at the cut-off."""
    costs = implied_costs(cutoff)
    assert (1 - cutoff) * costs.declined_good == pytest.approx(cutoff * costs.missed_bad)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"primary": "approval_rate"}, "neither better nor worse"),
        ({"costs": {"missed_bad": 0, "declined_good": 0}}, "must cost something"),
        ({"cutoff": 1.0}, "less than 1"),
        ({"alpha": 0.5}, "less than or equal to 0.2"),
        ({"minimum_effect": math.inf}, "finite"),
    ],
)
def test_terms_that_contradict_themselves_are_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        changed(**change)
