"""From a request and the feature store to the vector a model scores.

Nothing here guesses: a value that is absent, stale, late, unseen or out of range follows the
feature's own policy and is named in ``degraded``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from quicksilver.contract import ENTITY_KEY, Contract, Feature, MissingPolicy, Source, Unusable
from quicksilver.errors import FeaturesLate, FieldError, InvalidRequest
from quicksilver.ports import FeatureKey, FeatureReading, FeatureRow
from quicksilver.request import ScoreRequest


class Cause(StrEnum):
    """Why a feature's own value was not used."""

    ABSENT = "absent"
    NO_KEY = "no_key"  # the request does not name the row of this feature's group
    UNKNOWN_KEY = "unknown_key"  # the store has no row under that key
    STALE = "stale"
    LATE = "late"  # the store did not answer in time
    UNSEEN_CATEGORY = "unseen_category"
    OUT_OF_RANGE = "out_of_range"
    INVALID = "invalid"  # the store holds a value of the wrong type


class Degraded(BaseModel):
    """A feature whose policy was applied, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str
    cause: Cause
    policy: MissingPolicy


@dataclass(frozen=True, slots=True)
class Vector:
    """A model's input, in contract order; NaN is missing. ``ages_ms`` has an entry per group that was found."""

    values: tuple[float, ...]
    degraded: tuple[Degraded, ...]
    ages_ms: dict[str, int]

    @property
    def refer(self) -> bool:
        """Whether a degraded feature asks for a human decision."""
        return any(item.policy is MissingPolicy.REFER for item in self.degraded)


def feature_keys(contract: Contract, request: ScoreRequest) -> dict[str, FeatureKey]:
    """The row each feature group is read from; a group whose key the request leaves out has none."""
    keys = {}
    for group, field in contract.groups.items():
        key = request.entity_id if field == ENTITY_KEY else request.keys.get(field)
        if key is not None:
            keys[group] = FeatureKey(group, key)
    return keys


def check_names(contract: Contract, request: ScoreRequest) -> None:
    """Refuse features and keys the contract does not know: a typo must not become a missing value.

    Raises ``InvalidRequest`` naming each.
    """
    fields = [
        FieldError(
            f"features.{name}",
            "is an online feature and is not sent by the caller"
            if name in contract.online_names
            else "is not a feature of this endpoint",
        )
        for name in request.features
        if name not in contract.request_features
    ]
    fields += [
        FieldError(f"keys.{name}", "is not a key of this endpoint")
        for name in request.keys
        if name == ENTITY_KEY or name not in contract.groups.values()
    ]
    if fields:
        raise InvalidRequest("The request names what this endpoint does not know.", fields)


def build_vector(
    contract: Contract,
    request: ScoreRequest,
    keys: Mapping[str, FeatureKey],
    reading: FeatureReading,
    now_ms: int,
) -> Vector:
    """The vector for a request, in contract order.

    Raises ``InvalidRequest`` for a value of the wrong type and for a degraded feature whose policy
    is ``reject``, naming every such field, and ``FeaturesLate`` where such a feature was merely late:
    that is no fault of the caller's, and a retry may find it.
    """
    values: list[float] = []
    degraded: list[Degraded] = []
    refused: list[FieldError] = []
    late: list[str] = []
    for feature in contract.features:
        cause: Cause | None
        if feature.source is Source.REQUEST:
            try:
                value, cause = _from_request(feature, request)
            except TypeError as error:
                refused.append(FieldError(f"features.{feature.name}", str(error)))
                continue
        else:
            value, cause = _from_store(feature, keys, reading, now_ms)
        if cause is not None:
            degraded.append(Degraded(feature=feature.name, cause=cause, policy=feature.missing))
            if feature.missing is MissingPolicy.REJECT and cause is Cause.LATE:
                late.append(feature.name)
            elif feature.missing is MissingPolicy.REJECT:
                refused.append(FieldError(f"features.{feature.name}", f"is {cause.value.replace('_', ' ')}"))
            value = feature.default_value
        values.append(value)
    if refused:
        raise InvalidRequest("The request cannot be scored.", refused)
    if late:
        raise FeaturesLate(late)
    ages = {group: max(0, now_ms - row.as_of_ms) for group, row in _rows(keys, reading)}
    return Vector(tuple(values), tuple(degraded), ages)


def _from_request(feature: Feature, request: ScoreRequest) -> tuple[float, Cause | None]:
    raw = request.features.get(feature.name)
    if raw is None:
        return math.nan, Cause.ABSENT
    try:
        return feature.encode(raw), None
    except Unusable as unusable:
        return math.nan, Cause(unusable.cause)


def _from_store(
    feature: Feature, keys: Mapping[str, FeatureKey], reading: FeatureReading, now_ms: int
) -> tuple[float, Cause | None]:
    key = keys.get(feature.group or "")
    if key is None:
        return math.nan, Cause.NO_KEY
    if key in reading.late:
        return math.nan, Cause.LATE
    row = reading.rows.get(key)
    if row is None:
        return math.nan, Cause.UNKNOWN_KEY
    if feature.name not in row.values:
        return math.nan, Cause.ABSENT
    if now_ms - row.as_of_ms >= (feature.max_age_seconds or 0) * 1_000:
        return math.nan, Cause.STALE
    try:
        return feature.encode(row.values[feature.name]), None
    except Unusable as unusable:
        return math.nan, Cause(unusable.cause)
    except TypeError:
        return math.nan, Cause.INVALID


def _rows(keys: Mapping[str, FeatureKey], reading: FeatureReading) -> Sequence[tuple[str, FeatureRow]]:
    return [(group, reading.rows[key]) for group, key in keys.items() if key in reading.rows]
