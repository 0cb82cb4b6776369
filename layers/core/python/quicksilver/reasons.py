"""Reason codes: the features that raised this score the most, in the contract's words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from quicksilver.contract import Contract


class Reason(BaseModel):
    """A feature's adverse contribution, in raw-score units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    feature: str
    text: str
    contribution: float


class Wanted(StrEnum):
    """Which reasons a caller wants; with none, the score is not explained at all."""

    TOP = "top"  # as many as the contract says
    ALL = "all"  # every feature that raised the score
    NONE = "none"


def reasons_for(
    contract: Contract, contributions: Sequence[float], wanted: Wanted = Wanted.TOP
) -> tuple[Reason, ...]:
    """The reasons wanted, the largest contribution first.

    Only contributions above zero count: a feature that lowers the risk explains no adverse decision.
    Ties keep contract order. ``contributions`` has one entry per feature, in contract order.
    """
    adverse = [index for index, value in enumerate(contributions) if value > 0]
    adverse.sort(key=lambda index: -contributions[index])
    return tuple(
        Reason(
            code=feature.reason_code,
            feature=feature.name,
            text=feature.reason,
            contribution=contributions[index],
        )
        for index in adverse[: contract.top_reasons if wanted is Wanted.TOP else None]
        for feature in (contract.features[index],)
    )
