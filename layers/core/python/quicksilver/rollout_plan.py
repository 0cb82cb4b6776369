"""A rollout as its route carries it: what was asked for, and how far it has come."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quicksilver.guard_policy import Guards
from quicksilver.model_version import ModelName

StepBp = Annotated[int, Field(ge=1, le=10_000)]


class Rollout(BaseModel):
    """The controlled move of a model canary through its steps.

    ``number`` is that of the route which started it, and names the rollout. ``steps_bp`` are its shares in basis
    points, rising; the last is 10 000, at which it becomes the champion and the rollout has ended. ``step`` counts
    from 0, and ``step_at`` is since when the canary has its share (UTC ISO-8601).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: Annotated[int, Field(ge=1)]
    model: ModelName
    steps_bp: Annotated[tuple[StepBp, ...], Field(min_length=1, max_length=20)]
    bake_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)]
    guards: Guards = Guards()
    started_at: str
    step: Annotated[int, Field(ge=0)] = 0
    step_at: str
    paused: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if any(later <= earlier for earlier, later in zip(self.steps_bp, self.steps_bp[1:], strict=False)):
            raise ValueError("each step must be larger than the one before it")
        if self.steps_bp[-1] != 10_000:
            raise ValueError("the last step must be 100 %, at which the canary becomes the champion")
        if self.step >= len(self.steps_bp) - 1 and len(self.steps_bp) > 1:
            raise ValueError("at its last step a rollout has ended")
        return self

    @property
    def share_bp(self) -> int:
        return self.steps_bp[self.step]
