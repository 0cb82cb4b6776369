"""An experiment as its route carries it: what is compared, for whom, since when, and how it will be judged.

All that a verdict depends on is fixed here before the first prediction: who could choose it later could choose
the verdict.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quicksilver.model_version import ModelName

DAY_SECONDS = 86_400

ShareBp = Annotated[int, Field(ge=1, le=9_999)]
Number = int | float | None


class Measure(StrEnum):
    """What the arms are compared in."""

    EXPECTED_LOSS = "expected_loss"
    AUC = "auc"
    KS = "ks"
    LOG_LOSS = "log_loss"
    APPROVAL_RATE = "approval_rate"


class Verdict(StrEnum):
    WIN = "win"
    LOSS = "loss"
    NO_DIFFERENCE = "no_difference"  # no difference that would be worth having
    NOT_YET = "not_yet"
    INVALID = "invalid"  # the arms are not what the route says, so nothing can be concluded from them


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Costs(_Value):
    """What a wrong decision costs, in minor units of money or in any other unit: only their ratio moves a verdict."""

    missed_bad: Annotated[int, Field(ge=0)]
    declined_good: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _cost_something(self) -> Self:
        if not self.missed_bad and not self.declined_good:
            raise ValueError("one of the two must cost something")
        return self


def implied_costs(cutoff: float) -> Costs:
    """The costs for which a cut-off is the best one, for a calibrated score; they add up to 10 000.

    Elkan 2001, "The foundations of cost-sensitive learning", equation 2, with correct decisions free of cost.
    """
    declined_good = round(cutoff * 10_000)
    return Costs(missed_bad=10_000 - declined_good, declined_good=declined_good)


class _Rules(_Value):
    """``alpha`` is the probability that arms which are alike are ever told apart by the primary measure, however often
    one looks. ``minimum_effect``, in the primary measure's unit, is the least difference worth having; with 0, "no
    difference" is never concluded. A prediction is ripe after ``ripe_after_seconds``: only then is its outcome
    counted. ``planned_entities``, with an outcome and in both arms, is where the sequences are tightest.
    """

    primary: Measure = Measure.EXPECTED_LOSS
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    minimum_effect: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    ripe_after_seconds: Annotated[int, Field(ge=0, le=400 * DAY_SECONDS)] = 7 * DAY_SECONDS
    planned_entities: Annotated[int, Field(ge=100, le=1_000_000_000)] = 50_000

    @model_validator(mode="after")
    def _primary_has_a_better_side(self) -> Self:
        if self.primary is Measure.APPROVAL_RATE:
            raise ValueError(
                "approving more is neither better nor worse by itself, so it can't be the primary"
            )
        return self


class Terms(_Rules):
    """How an experiment is judged. ``cutoff`` is the endpoint's: a score at or above it is the adverse decision."""

    cutoff: Annotated[float, Field(gt=0, lt=1)]
    costs: Costs


class TermsWanted(_Rules):
    """What whoever starts an experiment may say of its terms. Without costs, the cut-off's own are taken."""

    costs: Costs | None = None

    def at(self, cutoff: float) -> Terms:
        """Raises ``ValidationError`` for a cut-off that declines everybody or nobody."""
        return Terms.model_validate(
            {**self.model_dump(), "cutoff": cutoff, "costs": self.costs or implied_costs(cutoff)}
        )


class Experiment(_Value):
    """A challenger beside the champion, for a share of the entities drawn by a salt of its own.

    ``number`` is that of the route which started it, and names the experiment. ``share_bp`` is of the entities
    outside the holdout. ``started_at`` is UTC ISO-8601.
    """

    number: Annotated[int, Field(ge=1)]
    challenger: ModelName
    share_bp: ShareBp
    started_at: str
    terms: Terms


class Conclusion(_Value):
    """What a report says of an experiment at a moment (UTC ISO-8601), as it goes into the history.

    The registry can't compute it, for it does not read the archive: it records who claimed what, and the archive
    lets anybody compute it again.
    """

    experiment: Annotated[int, Field(ge=1)]
    verdict: Verdict
    sentence: Annotated[str, Field(min_length=1, max_length=1_000)]
    at: str
    numbers: Annotated[dict[str, Number], Field(max_length=64)] = Field(default_factory=dict)
