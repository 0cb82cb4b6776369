"""The reference profile: histograms of the training window, against which live traffic is compared.

Edges are frozen here once and never made from live data. Values only: ``profile_builder`` makes one from
a frame, off the request path.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quicksilver.contract import Contract, FeatureName, FeatureType, contract_field_errors
from quicksilver.errors import FieldError, InvalidPackage

Count = Annotated[int, Field(ge=0)]
Edge = Annotated[float, Field(allow_inf_nan=False)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericHistogram(_Value):
    """``counts[i]`` are the values ``edges[i-1] <= x < edges[i]``. The first bin and the last are open: what lies
    outside the reference range is a bin of its own. NaN is counted in ``missing``."""

    kind: Literal["numeric"] = "numeric"
    edges: Annotated[tuple[Edge, ...], Field(min_length=1)]
    counts: tuple[Count, ...]
    missing: Count

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges must increase")
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError("there must be one count more than edges")
        return self

    @property
    def rows(self) -> int:
        return sum(self.counts) + self.missing

    def bin_of(self, value: float) -> int | None:
        """The bin a value falls in; ``None`` for NaN."""
        return None if value != value else bisect_right(self.edges, value)


class CategoryHistogram(_Value):
    """``counts[code]`` in the order of the contract's categories (a boolean's are false, true); ``unseen`` are
    values that the contract does not name, whatever its policy made of them."""

    kind: Literal["category"] = "category"
    counts: Annotated[tuple[Count, ...], Field(min_length=1)]
    unseen: Count
    missing: Count

    @property
    def rows(self) -> int:
        return sum(self.counts) + self.unseen + self.missing


Histogram = Annotated[NumericHistogram | CategoryHistogram, Field(discriminator="kind")]


class ReferenceProfile(_Value):
    """Histograms of what the model saw (encoded, missing policies applied), by feature, and of its scores."""

    schema_version: Literal[1] = 1
    rows: Annotated[int, Field(ge=1)]
    features: dict[FeatureName, Histogram]
    score: NumericHistogram

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for name, histogram in {**self.features, "score": self.score}.items():
            if histogram.rows != self.rows:
                raise ValueError(f"{name} counts {histogram.rows} rows, not {self.rows}")
        return self

    @cached_property
    def canonical_json(self) -> bytes:
        """UTF-8 JSON with sorted keys and no blanks, one line feed at its end."""
        content = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        return content.encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes | str) -> ReferenceProfile:
        """Read a profile. Raises ``InvalidPackage`` naming each field and its reason."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidPackage(
                "The reference profile is not valid.", contract_field_errors(error)
            ) from None


def check_profile(profile: ReferenceProfile, contract: Contract) -> None:
    """The profile describes the contract's features, each in its kind. Raises ``InvalidPackage`` naming those it does not."""
    errors = [
        FieldError(f"features.{name}", "is in the profile and not in the contract")
        for name in sorted(profile.features.keys() - set(contract.names))
    ]
    for feature in contract.features:
        histogram = profile.features.get(feature.name)
        codes = 2 if feature.type is FeatureType.BOOLEAN else len(feature.categories)
        if histogram is None:
            reason = "is in the contract and not in the profile"
        elif (histogram.kind == "category") != bool(codes):
            reason = f"is {feature.type} in the contract and {histogram.kind} in the profile"
        elif histogram.kind == "category" and len(histogram.counts) != codes:
            reason = f"has {codes} categories in the contract and {len(histogram.counts)} in the profile"
        else:
            continue
        errors.append(FieldError(f"features.{feature.name}", reason))
    if errors:
        raise InvalidPackage("The reference profile does not fit the contract.", errors)
