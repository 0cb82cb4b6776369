"""What a canary may not do, as one reviewed file: the limits, and how sure one must be."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quicksilver.contract import contract_field_errors
from quicksilver.errors import FieldError, InvalidPolicy

Limit = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1_000)]


class GuardName(StrEnum):
    """What is compared between the canary and the champion."""

    ERROR_RATE = "error_rate"  # requests that the arm's own model version did not answer
    DEGRADED_RATE = "degraded_rate"  # answers for which a feature's policy was applied
    SLOW_RATE = "slow_rate"  # answers slower than the champion's 99th percentile of before
    APPROVAL_RATE = "approval_rate"  # answers that scored below the endpoint's cut-off
    SCORE_SHIFT = "score_shift"  # the distribution of the scores


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Section):
    """The difference beyond which a canary goes no further, by guard.

    A rise of the rate (0.005 is half a point) for errors, degraded and slow answers; a shift either way for approvals;
    a population stability index for the scores, which may exceed 1. A limit also says what is too small to roll back
    for: with enough requests, the smallest difference becomes certain.
    """

    error_rate: Limit = 0.005
    degraded_rate: Limit = 0.02
    slow_rate: Limit = 0.01
    approval_rate: Limit = 0.02
    score_shift: Annotated[float, Field(gt=0, le=100)] = 0.1


class Weights(_Section):
    """How ``alpha`` is shared out between the guards, relative to each other. A guard of weight 0 holds and never rolls back."""

    error_rate: Weight = 1.0
    degraded_rate: Weight = 1.0
    slow_rate: Weight = 1.0
    approval_rate: Weight = 1.0
    score_shift: Weight = 1.0

    @model_validator(mode="after")
    def _some_guard_rolls_back(self) -> Self:
        if not any(weight for _, weight in self):
            raise ValueError("one weight at least must be above 0")
        return self


class Guards(_Section):
    """Limits of a rollout's guards, each on a difference between canary and champion over the same periods.

    ``alpha`` is the probability, over a whole rollout, that a canary which is as the champion is rolled back: all guards
    and all looks together. ``min_requests`` are the canary's in the present step before it may end.

    A canary that fails outright is not weighed up: ``hard_failure_requests`` failures that are ``hard_failure_share``
    more of its requests than the champion's of its own, within the last three periods, roll it back at once.

    ``requests_per_entity`` divides what a request counts for as evidence. The tests take requests as independent, and
    those of one entity are not: in the worst case all of them are one observation copied. A likelihood ratio of d copies
    is that of one raised to d, so its d-th root is the e-value of the independent ones. Entities differ in size, so the
    d to give is sum(m^2) / sum(m) over their numbers of requests m in a rollout, not their mean (Kish, Survey Sampling,
    1965, section 5.4: the design effect at an intraclass correlation of 1).
    """

    schema_version: Literal[1] = 1
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.01
    min_requests: Annotated[int, Field(ge=1, le=10_000_000)] = 200
    limits: Limits = Limits()
    weights: Weights = Weights()
    hard_failure_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    hard_failure_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    requests_per_entity: Annotated[float, Field(ge=1, le=10_000)] = 1.0

    def limit(self, guard: GuardName) -> float:
        return float(getattr(self.limits, guard))

    def log_threshold(self, guard: GuardName) -> float | None:
        """The natural logarithm of the e-value at which a guard is sure: 1 / its share of ``alpha``. None: never."""
        weight = float(getattr(self.weights, guard))
        if not weight:
            return None
        total = sum(float(each) for _, each in self.weights)
        return math.log(total / (weight * self.alpha))

    @classmethod
    def from_toml(cls, text: str) -> Guards:
        """Read a guards file. Raises ``InvalidPolicy`` naming each field and its reason."""
        import tomllib  # the score function knows guards by their routes and never reads this file

        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise InvalidPolicy("The guards are not TOML.", [FieldError("(file)", str(error))]) from None
        except ValidationError as error:
            raise InvalidPolicy("The guards are not valid.", contract_field_errors(error)) from None
