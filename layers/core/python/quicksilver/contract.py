"""The contract: the ordered features a model expects, and what happens when one is not usable.

A contract is a value. Two contracts with the same content have the same canonical JSON, and so the
same fingerprint, on every machine. Scoring turns a request and online features into a vector *only*
through a contract; training frames are encoded by the same rules, which is why training and serving agree.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from quicksilver.errors import FieldError, InvalidContract

FeatureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ENDPOINT_NAME_PATTERN = r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$"
EndpointName = Annotated[str, Field(pattern=ENDPOINT_NAME_PATTERN)]
Scalar = StrictBool | int | float | str

ENTITY_KEY = "entity_id"
"""The request field that names the entity a decision is about; groups may be keyed by it."""


class FeatureType(StrEnum):
    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"
    BOOLEAN = "boolean"


class Source(StrEnum):
    REQUEST = "request"
    ONLINE = "online"


class MissingPolicy(StrEnum):
    """What scoring does when a feature is absent, stale, late, unseen or out of range."""

    DEFAULT = "default"  # use the declared default
    MISSING = "missing"  # score it as missing (NaN)
    REFER = "refer"  # score it as missing, and ask for a human decision
    REJECT = "reject"  # refuse the request


class Unusable(Exception):
    """A well-typed value that the contract does not cover; ``cause`` goes to ``degraded``."""

    def __init__(self, cause: Literal["unseen_category", "out_of_range"]) -> None:
        super().__init__(cause)
        self.cause = cause


class Feature(BaseModel):
    """One model input.

    ``categories`` are ordered: a category's code is its position, as LightGBM saw it in training.
    ``minimum`` and ``maximum`` are inclusive. ``max_age_seconds`` is the age from which an online
    value counts as stale. ``group`` is the feature group an online feature is stored in. ``sensitive``
    says that the value is personal data, for whoever reads prediction records. ``monotone`` is 1 where a
    higher value may never lower the raw score, -1 where it may never raise it, and 0 where it may do both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FeatureName
    type: FeatureType
    source: Source
    missing: MissingPolicy
    group: FeatureName | None = None
    default: Scalar | None = None
    minimum: float | None = Field(default=None, allow_inf_nan=False)
    maximum: float | None = Field(default=None, allow_inf_nan=False)
    categories: tuple[str, ...] = ()
    max_age_seconds: Annotated[int, Field(gt=0)] | None = None
    sensitive: bool = False
    monotone: Literal[-1, 0, 1] = 0
    reason_code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,31}$")]
    reason: Annotated[str, Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        online = self.source is Source.ONLINE
        if online != (self.group is not None):
            raise ValueError("an online feature needs a group, and only an online feature has one")
        if online != (self.max_age_seconds is not None):
            raise ValueError("an online feature needs max_age_seconds, and only an online feature has it")
        if (self.type is FeatureType.CATEGORY) != bool(self.categories):
            raise ValueError("a category feature needs categories, and only a category feature has them")
        if self.monotone and self.type is FeatureType.CATEGORY:
            raise ValueError("a category has no order, so it cannot be monotone")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("categories must be distinct")
        numeric = self.type in (FeatureType.NUMBER, FeatureType.INTEGER)
        if not numeric and (self.minimum is not None or self.maximum is not None):
            raise ValueError("minimum and maximum are for numbers and integers")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is greater than maximum")
        if (self.missing is MissingPolicy.DEFAULT) != (self.default is not None):
            raise ValueError("the policy 'default' needs a default, and only that policy has one")
        if self.default is not None:
            try:
                self.encode(self.default)
            except (TypeError, Unusable) as error:
                raise ValueError(f"the default is not usable: {error}") from error
        return self

    @cached_property
    def _codes(self) -> Mapping[str, float]:
        return {category: float(code) for code, category in enumerate(self.categories)}

    @cached_property
    def default_value(self) -> float:
        """The encoded default; NaN where the policy declares none."""
        return math.nan if self.default is None else self.encode(self.default)

    def encode(self, value: object) -> float:
        """Turn a raw value into the number the model sees.

        Raises ``TypeError`` (one sentence, no value in it) for a value of the wrong type, and
        ``Unusable`` for a well-typed value outside the categories or the allowed range.
        """
        kind = self.type
        if kind is FeatureType.CATEGORY:
            if not isinstance(value, str):
                raise TypeError("must be a string")
            try:
                return self._codes[value]
            except KeyError:
                raise Unusable("unseen_category") from None
        if kind is FeatureType.BOOLEAN:
            if not isinstance(value, bool):
                raise TypeError("must be true or false")
            return float(value)
        # bool is an int in Python, but `true` is no amount of money.
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError("must be a number" if kind is FeatureType.NUMBER else "must be an integer")
        try:
            number = float(value)
        except OverflowError:
            raise TypeError("must be a number that fits a 64-bit float") from None
        if not math.isfinite(number):
            raise TypeError("must be finite")
        if kind is FeatureType.INTEGER and not number.is_integer():
            raise TypeError("must be an integer")
        if (self.minimum is not None and number < self.minimum) or (
            self.maximum is not None and number > self.maximum
        ):
            raise Unusable("out_of_range")
        return number


class Contract(BaseModel):
    """The ordered features of one model, for one endpoint.

    ``groups`` maps each feature group to the request field that names its row: ``entity_id`` or a
    name under the request's ``keys``. ``fallback_score`` is what is answered, and marked, when no model version can
    be evaluated; without one such a request is answered 503. ``protected`` names attributes that are monitored and can never be
    model inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    endpoint: EndpointName
    groups: dict[FeatureName, FeatureName] = Field(default_factory=dict)
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    top_reasons: Annotated[int, Field(ge=1, le=20)] = 4
    fallback_score: float | None = Field(default=None, allow_inf_nan=False)
    protected: tuple[FeatureName, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [feature.name for feature in self.features]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"feature {name} appears more than once")
        if forbidden := set(names) & set(self.protected):
            raise ValueError(f"{min(forbidden)} is a protected attribute and cannot be a model input")
        used = {feature.group for feature in self.features if feature.group}
        if used - self.groups.keys():
            raise ValueError(f"group {min(used - self.groups.keys())} has no key in groups")
        if self.groups.keys() - used:
            raise ValueError(f"group {min(self.groups.keys() - used)} has no feature")
        return self

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @cached_property
    def request_features(self) -> Mapping[str, Feature]:
        return {f.name: f for f in self.features if f.source is Source.REQUEST}

    @cached_property
    def online_names(self) -> tuple[str, ...]:
        """Every online feature's name, in contract order: the projection of the feature read."""
        return tuple(f.name for f in self.features if f.source is Source.ONLINE)

    @cached_property
    def canonical_json(self) -> bytes:
        """UTF-8 JSON with sorted keys and no blanks; unset optional members are left out."""
        content = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.canonical_json).hexdigest()

    @classmethod
    def from_json(cls, text: bytes | str) -> Contract:
        """Read a contract. Raises ``InvalidContract`` naming each field and its reason."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidContract("The contract is not valid.", contract_field_errors(error)) from None


def contract_field_errors(error: ValidationError) -> list[FieldError]:
    """pydantic's errors as field paths and reasons, without the values that were refused."""
    return [field_error(item) for item in error.errors(include_url=False, include_input=False)]


def field_error(item: Mapping[str, Any]) -> FieldError:
    path = ".".join(str(part) for part in item["loc"]) or "(whole)"
    return FieldError(path, str(item["msg"]).removeprefix("Value error, "))
