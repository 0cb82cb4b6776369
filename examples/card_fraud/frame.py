"""Columns of raw feature values, and their encoding by the contract's own rules.

``encode_frame`` is ``Feature.encode`` and the missing policies of scoring, applied to whole columns. A
test holds it to the row-by-row result, which is why a model sees in training what it sees in serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.card_fraud.population import Bools, Floats, Ints
from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Scalar


@dataclass(frozen=True, slots=True)
class Column:
    """Raw values of one feature, shape (rows,). ``present`` is False where there is none.

    With ``labels``, ``values`` are positions in it; otherwise they are numbers or booleans.
    """

    values: NDArray[Any]
    present: Bools
    labels: tuple[str, ...] = ()

    def raw(self, row: int) -> Scalar | None:
        """The value as a request or a feature row would hold it."""
        if not self.present[row]:
            return None
        value: Scalar = self.values[row].item()
        return self.labels[int(value)] if self.labels else value

    def take(self, rows: Ints) -> Column:
        """The column of these rows only, in their order."""
        return Column(self.values[rows], self.present[rows], self.labels)


Frame = Mapping[str, Column]


def whole(values: NDArray[Any], labels: tuple[str, ...] = ()) -> Column:
    """A column without missing values."""
    return Column(values, np.ones(len(values), dtype=np.bool_), labels)


def partial(values: NDArray[Any], present: Bools) -> Column:
    """A column whose values count only where ``present``."""
    return Column(values, np.asarray(present, dtype=np.bool_))


def encode_frame(contract: Contract, frame: Frame) -> Floats:
    """Vectors of shape (rows, features) in contract order; NaN is missing.

    Raises ``TypeError`` for a column of the wrong kind, and ``ValueError`` naming a feature whose policy
    is ``reject`` where a row would be refused in serving: a model can't learn from what it never sees.
    """
    return np.stack([encode_column(feature, frame[feature.name]) for feature in contract.features], axis=1)


def encode_column(feature: Feature, column: Column) -> Floats:
    """One feature's encoded values, its missing policy applied. Raises as ``encode_frame`` does."""
    values, usable = _numbers(feature, column)
    usable &= column.present
    if feature.minimum is not None:
        usable &= values >= feature.minimum
    if feature.maximum is not None:
        usable &= values <= feature.maximum
    if feature.missing is MissingPolicy.REJECT and not usable.all():
        raise ValueError(f"{feature.name}: {int((~usable).sum())} rows would be refused in serving")
    return np.where(usable, values, feature.default_value)


def _numbers(feature: Feature, column: Column) -> tuple[Floats, Bools]:
    """The encoded values and where they are usable, before presence and range."""
    kind = column.values.dtype.kind
    fits = {
        FeatureType.CATEGORY: bool(column.labels),
        FeatureType.BOOLEAN: kind == "b",
        FeatureType.INTEGER: kind == "i" and not column.labels,
        FeatureType.NUMBER: kind in "if" and not column.labels,
    }
    if not fits[feature.type]:
        raise TypeError(f"{feature.name}: a column of kind {kind!r} is no {feature.type.value}")
    if feature.type is FeatureType.CATEGORY:
        known = {category: float(code) for code, category in enumerate(feature.categories)}
        code_of = np.array([known.get(label, np.nan) for label in column.labels])
        codes = code_of[np.where(column.present, column.values, 0)]
        return codes, ~np.isnan(codes)
    values = column.values.astype(np.float64)
    if not np.isfinite(values[column.present]).all():
        raise TypeError(f"{feature.name}: must be finite where present")
    return values, np.ones(len(values), dtype=np.bool_)
