"""The judgement of an experiment: the differences between its arms, each with a sequence valid at any time.

The unit is the entity, because the entity is what is assigned: its first prediction in the experiment counts, which
nothing that an arm decided can have influenced. Whom an arm is assigned is counted to it whoever answered. The holdout
is in no comparison. The primary measure is judged at the declared alpha; the others are shown at the same level, each by
itself, and conclude nothing. Not on the request path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quicksilver.experiment.confidence_sequences import entities_for, log_ratio_evidence, mixture_radius
from quicksilver.experiment.measures import ArmSums, estimates
from quicksilver.experiment_plan import Measure, Terms, Verdict
from quicksilver.frame import Bools, Floats, Ints
from quicksilver.routing import FULL_SHARE_BP

RATIO_ALPHA = 0.001
"""The probability of ever calling an experiment invalid whose arms are as declared; half for each of two checks."""

MIN_ENTITIES = 200
MIN_OF_CLASS = 50
"""The start rule: in each arm so many entities with an outcome, and so many of them bad and good. The sequences are
asymptotic, and say nothing of fewer."""

BETTER = {
    Measure.EXPECTED_LOSS: -1,
    Measure.AUC: 1,
    Measure.KS: 1,
    Measure.LOG_LOSS: -1,
    Measure.APPROVAL_RATE: 0,
}
"""Which sign of challenger minus champion is better."""


class Arms(NamedTuple):
    """The sums of the challenger's entities, the champion's outside the holdout, and the holdout's."""

    challenger: ArmSums
    champion: ArmSums
    holdout: ArmSums


class Shares(NamedTuple):
    """The arms' declared shares of all entities, in the order of ``Arms``."""

    challenger: float
    champion: float
    holdout: float

    @classmethod
    def of(cls, share_bp: int, holdout_bp: int) -> Shares:
        holdout = holdout_bp / FULL_SHARE_BP
        challenger = (1 - holdout) * share_bp / FULL_SHARE_BP
        return cls(challenger, 1 - holdout - challenger, holdout)


@dataclass(frozen=True, slots=True)
class Difference:
    """Challenger minus champion at each look. Before the start rule holds there is no ``radius``: it is NaN.

    ``deviation`` is the standard deviation of one of ``entities`` observations; divided by the root of their number it
    is the standard error.
    """

    measure: Measure
    challenger: Floats
    champion: Floats
    entities: Ints
    deviation: Floats
    radius: Floats

    @property
    def value(self) -> Floats:
        return self.challenger - self.champion

    @property
    def low(self) -> Floats:
        return self.value - self.radius

    @property
    def high(self) -> Floats:
        return self.value + self.radius


@dataclass(frozen=True, slots=True)
class Ratio:
    """The check of counts by arm. ``evidence`` is a log Bayes factor against the declared shares."""

    counts: Ints
    shares: tuple[float, ...]
    evidence: Floats

    @property
    def mismatch(self) -> Bools:
        return np.asarray(self.evidence > -math.log(RATIO_ALPHA / 2))


@dataclass(frozen=True, slots=True)
class Judgement:
    """An experiment at one look or many. ``assigned`` and ``known`` check all entities and those with an outcome."""

    terms: Terms
    arms: Arms
    assigned: Ratio
    known: Ratio
    differences: dict[Measure, Difference]

    @property
    def primary(self) -> Difference:
        return self.differences[self.terms.primary]

    @property
    def verdict(self) -> NDArray[np.str_]:
        """A ``Verdict`` for each look."""
        better = self.primary.value * BETTER[self.terms.primary]
        low, high = better - self.primary.radius, better + self.primary.radius
        effect = self.terms.minimum_effect
        # Comparisons with NaN are false: before the start rule holds there is none of these.
        return np.select(
            [
                self.assigned.mismatch | self.known.mismatch,
                (-effect < low) & (high < effect),
                low > 0,
                high < 0,
            ],
            [Verdict.INVALID, Verdict.NO_DIFFERENCE, Verdict.WIN, Verdict.LOSS],
            default=Verdict.NOT_YET,
        )


def judge(terms: Terms, shares: Shares, arms: Arms) -> Judgement:
    """Compare the arms; every array of the result has the looks' shape."""
    ours, theirs = estimates(arms.challenger, terms.costs), estimates(arms.champion, terms.costs)
    known = arms.challenger.outcomes + arms.champion.outcomes
    started = _has_started(arms.challenger) & _has_started(arms.champion)
    seen = arms.challenger.entities + arms.champion.entities
    decided = (arms.challenger.entities >= MIN_ENTITIES) & (arms.champion.entities >= MIN_ENTITIES)
    differences = {}
    for measure in Measure:
        of_all = measure is Measure.APPROVAL_RATE
        entities = seen if of_all else known
        with np.errstate(invalid="ignore"):
            deviation = np.sqrt(entities * (ours[measure].variance + theirs[measure].variance))
        radius = mixture_radius(entities, deviation, alpha=terms.alpha, planned=terms.planned_entities)
        # No spread at all is too little seen, not certainty.
        usable = (decided if of_all else started) & (deviation > 0)
        differences[measure] = Difference(
            measure,
            ours[measure].value,
            theirs[measure].value,
            entities,
            deviation,
            np.where(usable, radius, np.nan),
        )
    compared = (shares.challenger, shares.champion)
    everybody = (*compared, shares.holdout)
    return Judgement(
        terms=terms,
        arms=arms,
        assigned=_ratio([arm.entities for arm in arms], everybody),
        # A label that is missing more often in one arm biases every measure, as a mismatch of entities does.
        known=_ratio([arm.outcomes for arm in arms], everybody),
        differences=differences,
    )


def _has_started(arm: ArmSums) -> Bools:
    return np.asarray(
        (arm.outcomes >= MIN_ENTITIES) & (arm.bads >= MIN_OF_CLASS) & (arm.goods >= MIN_OF_CLASS)
    )


def _ratio(counts: list[Ints], shares: tuple[float, ...]) -> Ratio:
    present = [place for place, share in enumerate(shares) if share > 0]
    seen = np.stack([counts[place] for place in present], axis=-1)
    declared = tuple(shares[place] for place in present)
    return Ratio(seen, declared, log_ratio_evidence(seen, declared))


def entities_needed(judgement: Judgement) -> int | None:
    """How many more entities with an outcome a verdict needs, of one look, by its present variance.

    Whatever comes first: that the sequence leaves 0 if the effect stays what it is, where that is more than its
    standard error, or that it lies within the least effect worth having if there is none. ``None`` where neither
    can be said: before the start rule holds, or with an effect too small to tell and none declared as too small.
    """
    primary, terms = judgement.primary, judgement.terms
    entities, deviation = int(primary.entities), float(primary.deviation)
    if not math.isfinite(float(primary.radius)):
        return None
    effect = abs(float(primary.value))
    targets = [terms.minimum_effect - effect] if effect < terms.minimum_effect else []
    if effect > deviation / math.sqrt(entities):
        targets.append(effect)
    needed = [
        entities_for(target, deviation, alpha=terms.alpha, planned=terms.planned_entities)
        for target in targets
    ]
    return min((max(0, number - entities) for number in needed if number is not None), default=None)
