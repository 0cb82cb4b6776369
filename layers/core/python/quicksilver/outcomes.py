"""Outcomes: the delayed labels of predictions, kept beside them in the archive.

Keeping the same rows again changes nothing; of several labels for one prediction the latest by time counts, which is
the rule of the archive's table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from quicksilver.instants import typed_moment
from quicksilver.ports import OutcomeStore

BATCH_ROWS = 50_000

_LABELS = {"1": True, "true": True, "0": False, "false": False}


def _label(value: Any) -> bool:
    found = _LABELS.get(str(value).strip().lower()) if isinstance(value, str | bool | int) else None
    if found is None:
        raise ValueError("must be true or 1 for a bad outcome, false or 0 for a good one")
    return found


def _amount(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else value
    return value


class Outcome(BaseModel):
    """What became of a prediction. ``label`` says whether the bad thing happened, ``amount`` what it cost in minor units of
    money, and ``time`` when this was known: UTC ISO-8601 with ms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prediction_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    entity_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    label: Annotated[bool, BeforeValidator(_label)]
    amount: Annotated[StrictInt, BeforeValidator(_amount), Field(ge=-(2**63), lt=2**63)] | None = None
    time: Annotated[str, BeforeValidator(typed_moment)]


def keep_outcomes(
    store: OutcomeStore,
    endpoint: str,
    outcomes: Sequence[Outcome],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Put outcomes into the archive, batch by batch; may be done again where it broke off. Raises ``Unavailable``."""
    for start in range(0, len(outcomes), BATCH_ROWS):
        batch = outcomes[start : start + BATCH_ROWS]
        store.keep(endpoint, b"".join(outcome.model_dump_json().encode() + b"\n" for outcome in batch))
        if progress:
            progress(start + len(batch), len(outcomes))
