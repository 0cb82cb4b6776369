"""When drift is worth an alarm, and when alarms are worth a new model: one reviewed file per endpoint."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quicksilver.contract import EndpointName, FeatureName, contract_field_errors
from quicksilver.errors import FieldError, InvalidPolicy

Share = Annotated[float, Field(ge=0, le=1)]
Hour = Annotated[int, Field(ge=0, le=24)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Season(StrEnum):
    """What a window is compared with."""

    NONE = "none"  # the reference profile of the model version that answered
    WEEKLY = "weekly"  # the same weekday and hours of the weeks before, where there are any; else the reference profile


class Effects(_Section):
    """The smallest change worth acting on. With enough rows, a smaller one is certain all the same, and no alarm.

    ``psi`` is a population stability index less what chance adds to it; the others are differences of shares: of missing
    values, of categories that the contract does not name, of values outside the reference's range, of approvals.
    """

    psi: Annotated[float, Field(gt=0, le=10)] = 0.02
    missing: Share = 0.02
    unseen: Share = 0.01
    out_of_range: Share = 0.01
    approval: Share = 0.02


class Performance(_Section):
    """When a window's labels are ripe, and how much worse than at training is too much.

    A window is judged when ``ripe_share`` of the labels that its predictions will ever have are there, by the maturity
    curve of earlier windows, and ``min_labels`` of them with at least ``min_bad`` bad ones.
    """

    ripe_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    min_labels: Annotated[int, Field(ge=10)] = 500
    min_bad: Annotated[int, Field(ge=5)] = 20
    auc_margin: Share = 0.03
    label_days: Annotated[int, Field(ge=1, le=400)] = 90
    """How long after a prediction its label is waited for."""
    match_days: Annotated[int, Field(ge=1, le=400)] = 30
    """How long before its event an outcome's prediction may be, where it is named by its entity and not by its id."""


class OpenHours(NamedTuple):
    """[start, end) of the business hours of one day, in UTC epoch milliseconds."""

    start_ms: int
    end_ms: int


class BusinessHours(_Section):
    """When requests are made: from an hour to an hour (UTC, ``until`` exclusive) on these weekdays, Monday being 0."""

    from_hour: Hour = 0
    until_hour: Hour = 24
    weekdays: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], Field(min_length=1)] = tuple(range(7))

    @model_validator(mode="after")
    def _has_hours(self) -> Self:
        if self.from_hour >= self.until_hour:
            raise ValueError("until_hour must be after from_hour")
        return self

    def next_open(self, moment_ms: int) -> OpenHours:
        """The hours that a moment (UTC epoch ms) is in, or else those that open next after it."""
        midnight = datetime.fromtimestamp(moment_ms / 1_000, UTC).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        # A week and a day: this very weekday may have closed already.
        days = (midnight + timedelta(days=ahead) for ahead in range(8))
        for day in days:
            hours = OpenHours(
                *(
                    round((day + timedelta(hours=hour)).timestamp()) * 1_000
                    for hour in (self.from_hour, self.until_hour)
                )
            )
            if day.weekday() in self.weekdays and moment_ms < hours.end_ms:
                return hours
        raise AssertionError("a week has a weekday of each kind")


class Retraining(_Section):
    """When a new model is asked for: after ``consecutive_windows`` windows with an alarm of the champion, or one of its
    performance, and never within ``cool_down_hours`` of the request before."""

    enabled: bool = True
    consecutive_windows: Annotated[int, Field(ge=1, le=1_000)] = 3
    cool_down_hours: Annotated[int, Field(ge=0, le=24 * 365)] = 7 * 24
    training_days: Annotated[int, Field(ge=1, le=400)] = 90
    """How far back from the last window the training set reaches."""
    min_training_rows: Annotated[int, Field(ge=1_000)] = 5_000
    business_hours: BusinessHours = BusinessHours()


class DriftPolicy(_Section):
    """``fdr`` bounds the expected share of false findings among all that are made in a window, and so the probability that
    a window without drift raises an alarm (Benjamini and Hochberg, 1995, section 2).

    Windows are ``window_hours`` long, cut at multiples of that since the epoch; each is judged ``settle_minutes`` after
    its end, and again whenever records of it arrive later, up to ``late_hours`` after its end. Of a window with fewer
    than ``min_rows`` rows nothing is judged. ``count_entities`` takes the requests of one entity as copies of one
    observation (Kish's design effect); without it all rows are taken as independent.
    """

    schema_version: Literal[1] = 1
    endpoint: EndpointName
    version: Annotated[int, Field(ge=1)]
    window_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 24
    settle_minutes: Annotated[int, Field(ge=0, le=24 * 60)] = 15
    late_hours: Annotated[int, Field(ge=1, le=24 * 14)] = 48
    catch_up_days: Annotated[int, Field(ge=1, le=400)] = 14
    """How far back windows that nobody has judged are still judged."""
    season: Season = Season.NONE
    fdr: Annotated[float, Field(gt=0, le=0.2)] = 0.005
    min_rows: Annotated[int, Field(ge=1)] = 100
    min_complete: Share = 0.95
    """The share of the records counted by the rollup that must be in the archive for a window to be complete."""
    count_entities: bool = True
    segments: tuple[FeatureName, ...] = ()
    """Categorical or boolean features whose every value is a segment of its own."""
    effects: Effects = Effects()
    performance: Performance = Performance()
    retraining: Retraining = Retraining()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len(set(self.segments)) != len(self.segments):
            raise ValueError("segments must be distinct")
        return self

    @property
    def window_ms(self) -> int:
        return self.window_hours * 3_600_000

    @classmethod
    def from_toml(cls, text: str) -> DriftPolicy:
        """Read a policy. Raises ``InvalidPolicy`` naming each field and its reason."""
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise InvalidPolicy("The drift policy is not TOML.", [FieldError("(file)", str(error))]) from None
        except ValidationError as error:
            raise InvalidPolicy("The drift policy is not valid.", contract_field_errors(error)) from None
