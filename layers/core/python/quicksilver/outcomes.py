"""Outcomes: the delayed labels of predictions, kept beside them in the archive.

Keeping the same rows again changes nothing; of several labels for one prediction the latest by time counts. Which
prediction an outcome by entity and moment belongs to is not known here, where outcomes are only kept: ``labelled`` says
it, of the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from quicksilver.instants import typed_moment, utc_iso
from quicksilver.ports import OutcomeStore

BATCH_ROWS = 50_000
MAX_GROUPS = 16

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


Moment = Annotated[str, BeforeValidator(typed_moment)]
GroupName = Annotated[str, Field(max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
GroupValue = Annotated[str, Field(min_length=1, max_length=64)]


class Outcome(BaseModel):
    """What became of a prediction. ``label`` says whether the bad thing happened, ``amount`` what it cost in minor units of
    money, and ``time`` when this was known: UTC ISO-8601 with ms.

    It names its prediction by ``prediction_id``; or by ``entity_id`` and ``event_time``, the moment of the event, where whoever
    knows the label has not kept the id. ``groups`` are protected attributes of the entity by name (``"age_band":
    "30-39"``): for the bias gate of models trained on these outcomes, and for nothing else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prediction_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")] | None = None
    entity_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    label: Annotated[bool, BeforeValidator(_label)]
    amount: Annotated[StrictInt, Field(ge=-(2**63), lt=2**63), BeforeValidator(_amount)] | None = None
    time: Moment
    event_time: Moment | None = None
    groups: Annotated[dict[GroupName, GroupValue], Field(max_length=MAX_GROUPS)] = {}

    @model_validator(mode="after")
    def _names_its_prediction(self) -> Self:
        if self.prediction_id is None and (self.entity_id is None or self.event_time is None):
            raise ValueError("must name its prediction by prediction_id, or by entity_id and event_time")
        if self.prediction_id is not None and self.event_time is not None:
            raise ValueError("must name its prediction by prediction_id or by event_time, not by both")
        return self

    @property
    def subject(self) -> tuple[str | None, str | None, str | None]:
        """What names the prediction: outcomes with the same are of the same one."""
        if self.prediction_id is not None:
            return self.prediction_id, None, None
        return None, self.entity_id, self.event_time


class Acceptance:
    """Judges the outcomes of one delivery by what a single one cannot show. ``accepted`` has each row once."""

    def __init__(self, now_ms: int) -> None:
        self._now = utc_iso(now_ms)
        self._found: dict[tuple[Any, ...], tuple[str, Outcome]] = {}

    @property
    def accepted(self) -> list[Outcome]:
        return [outcome for _, outcome in self._found.values()]

    def faults(self, place: str, outcome: Outcome) -> list[tuple[str, str]]:
        """Take an outcome, or say what is wrong with it: fields ("" for the whole) and reasons. ``place`` is where it is
        in the delivery, as its sender would say it."""
        before, known = self._found.setdefault((*outcome.subject, outcome.time), (place, outcome))
        found = []
        if known != outcome:
            found.append(("", f"contradicts {before}, which is of the same prediction and time"))
        if outcome.time > self._now:
            found.append(("time", "is in the future"))
        if outcome.event_time is not None and outcome.event_time > outcome.time:
            found.append(("event_time", "is after the time when the label was known"))
        return found


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
