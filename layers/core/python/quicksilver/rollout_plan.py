"""A rollout as its route carries it: what was asked for, and how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quicksilver.guard_policy import Guards
from quicksilver.model_version import ModelName

StepBp = Annotated[int, Field(ge=1, le=10_000)]
StepsBp = Annotated[tuple[StepBp, ...], Field(min_length=1, max_length=20)]
BakeSeconds = Annotated[int, Field(ge=1, le=7 * 86_400)]


def check_steps(steps_bp: Sequence[int]) -> None:
    """Raises ``ValueError`` with the reason where shares are not the steps of a rollout."""
    if any(later <= earlier for earlier, later in pairwise(steps_bp)):
        raise ValueError("each step must be larger than the one before it")
    if steps_bp[-1] != 10_000:
        raise ValueError("the last step must be 100 %, at which the canary becomes the champion")
    if len(steps_bp) == 1:
        raise ValueError("a rollout has a step below 100 %; without one, set the route")


class Rollout(BaseModel):
    """The controlled move of a model canary through its steps.

    ``number`` is that of the route which started it, and names the rollout. ``steps_bp`` are its shares in basis
    points, rising; the last is 10 000, at which it becomes the champion and the rollout has ended. ``step`` counts
    from 0, and ``step_at`` is since when the canary has its share (UTC ISO-8601). While it is ``paused``, it
    goes no further, and its guards still take it back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: Annotated[int, Field(ge=1)]
    model: ModelName
    steps_bp: StepsBp
    bake_seconds: BakeSeconds
    guards: Guards = Guards()
    started_at: str
    step: Annotated[int, Field(ge=0)] = 0
    step_at: str
    paused: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_steps(self.steps_bp)
        if self.step > len(self.steps_bp) - 2:
            raise ValueError("at its last step a rollout has ended")
        return self

    @property
    def share_bp(self) -> int:
        return self.steps_bp[self.step]

    @property
    def next_share_bp(self) -> int:
        """What follows when this step has baked; at 10 000 the canary is the champion."""
        return self.steps_bp[self.step + 1]

    @property
    def completes_next(self) -> bool:
        return self.step == len(self.steps_bp) - 2

    def advanced(self, at: str) -> Rollout:
        """The rollout at its next step, since a moment."""
        return self.model_copy(update={"step": self.step + 1, "step_at": at})
