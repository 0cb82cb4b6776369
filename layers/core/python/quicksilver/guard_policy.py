"""What a canary may not do, as one reviewed file: the limits, and how sure one must be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Guards(BaseModel):
    """Limits of a rollout's guards, each on a difference between canary and champion over the same minutes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.01
    """The probability that a canary which is as the champion is rolled back, all guards and looks together."""
