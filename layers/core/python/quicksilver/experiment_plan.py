"""An experiment as its route carries it: what is compared, for whom, and since when."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.model_version import ModelName


class Experiment(BaseModel):
    """A challenger beside the champion, for a share of the entities drawn by a salt of its own.

    ``number`` is that of the route which started it, and names the experiment. ``started_at`` is UTC ISO-8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: Annotated[int, Field(ge=1)]
    challenger: ModelName
    share_bp: Annotated[int, Field(ge=1, le=9_999)]
    started_at: str
