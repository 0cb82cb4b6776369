"""A vector of one contract as a vector of another, by feature name.

What a record keeps is the vector that the answering model scored. A model with another contract gets the same
values from it, decoded by the answering contract and encoded by its own. Nothing is guessed: a feature that
the answering contract does not have cannot be mapped, and a value that was not usable there (its place in the
vector holds a default) is missing here, under this contract's own policy.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Unusable
from quicksilver.errors import FieldError, InvalidContract, InvalidRequest

_NUMERIC = frozenset({FeatureType.NUMBER, FeatureType.INTEGER})


def unmappable(source: Contract, target: Contract) -> list[FieldError]:
    """Each feature of ``target`` that vectors of ``source`` do not give, and why."""
    known = {feature.name: feature for feature in source.features}
    errors = []
    for feature in target.features:
        given = known.get(feature.name)
        if given is None:
            errors.append(FieldError(feature.name, "is not in the answering contract"))
        elif given.type is not feature.type and not {given.type, feature.type} <= _NUMERIC:
            reason = f"is a {given.type.value} in the answering contract, not a {feature.type.value}"
            errors.append(FieldError(feature.name, reason))
    return errors


class Mapping:
    """How vectors of ``source`` become vectors of ``target``. Raises ``InvalidContract`` naming what cannot."""

    def __init__(self, source: Contract, target: Contract) -> None:
        if errors := unmappable(source, target):
            raise InvalidContract("The vectors of the answering contract cannot be mapped.", errors)
        self._length = len(source.features)
        self._is_identity = source.fingerprint == target.fingerprint
        places = {feature.name: (place, feature) for place, feature in enumerate(source.features)}
        self._plan = [(*places[feature.name], feature) for feature in target.features]

    def vector(self, values: Sequence[float], degraded: Collection[str]) -> tuple[float, ...]:
        """The vector in the target's order; NaN is missing. ``degraded`` names features whose policy was applied.

        Raises ``InvalidRequest`` naming each feature that the target's policy refuses, and for a vector that is not
        of the source contract.
        """
        if len(values) != self._length:
            raise InvalidRequest(
                "The vector is not of its contract.",
                [FieldError("vector", f"has {len(values)} values, not {self._length}")],
            )
        if self._is_identity:
            return tuple(values)
        mapped: list[float] = []
        refused: list[FieldError] = []
        for place, source, target in self._plan:
            try:
                mapped.append(_mapped(source, target, values[place], source.name in degraded))
            except TypeError as error:
                refused.append(FieldError(target.name, str(error)))
        if refused:
            raise InvalidRequest("The vector cannot be scored under this contract.", refused)
        return tuple(mapped)


def _mapped(source: Feature, target: Feature, value: float, is_degraded: bool) -> float:
    """One value. Raises ``TypeError``, in one sentence, where the target would refuse it."""
    if is_degraded or math.isnan(value):
        return _unusable(target, "missing")
    try:
        return target.encode(_decoded(source, value))
    except Unusable as unusable:
        return _unusable(target, unusable.cause.replace("_", " "))


def _decoded(feature: Feature, value: float) -> bool | float | str:
    if feature.type is FeatureType.CATEGORY:
        if not (value.is_integer() and 0 <= value < len(feature.categories)):
            raise TypeError("is no code of the answering contract")
        return feature.categories[int(value)]
    return bool(value) if feature.type is FeatureType.BOOLEAN else value


def _unusable(target: Feature, cause: str) -> float:
    if target.missing is MissingPolicy.REJECT:
        raise TypeError(f"is {cause}")
    return target.default_value
