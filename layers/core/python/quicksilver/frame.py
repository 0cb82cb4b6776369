"""Columns of raw feature values, and their encoding by the contract's own rules. Off the request path.

``encode_rows`` is ``Feature.encode`` and the missing policies of scoring, applied to whole columns. A
test holds it to the row-by-row result, which is why a model sees in training what it sees in serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Scalar
from quicksilver.errors import FieldError, InvalidData

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """Raw values of one feature, shape (rows,). ``present`` is False where there is none.

    With ``labels``, ``values`` are positions in it; otherwise they are numbers or booleans.
    """

    values: NDArray[Any]
    present: Bools
    labels: tuple[str, ...] | None = None

    def raw(self, row: int) -> Scalar | None:
        """The value as a request or a feature row would hold it."""
        if not self.present[row]:
            return None
        value: Scalar = self.values[row].item()
        return value if self.labels is None else self.labels[int(value)]

    def take(self, rows: Ints) -> Column:
        """The column of these rows only, in their order."""
        return Column(self.values[rows], self.present[rows], self.labels)


Frame: TypeAlias = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Encoded:
    """``vectors`` and ``unseen`` have shape (rows, features), in contract order: NaN is missing, and a category
    that the contract does not name is unseen. ``refused``, shape (rows,), marks the rows that serving would
    refuse (policy ``reject``), and ``refused_by`` counts them by feature."""

    vectors: Floats
    unseen: Bools
    refused: Bools
    refused_by: Mapping[str, int]


def whole(values: NDArray[Any], labels: tuple[str, ...] | None = None) -> Column:
    """A column without missing values."""
    return Column(values, np.ones(len(values), dtype=np.bool_), labels)


def partial(values: NDArray[Any], present: Bools) -> Column:
    """A column whose values count only where ``present``."""
    return Column(values, np.asarray(present, dtype=np.bool_))


def encode_frame(contract: Contract, frame: Frame) -> Floats:
    """Vectors of shape (rows, features) in contract order; NaN is missing.

    Raises ``InvalidData`` as ``encode_rows`` does, and naming each feature by which a row would be refused in
    serving: a model can't learn from what it never sees.
    """
    encoded = encode_rows(contract, frame)
    if encoded.refused_by:
        raise InvalidData(
            "The rows do not fit the contract.",
            [
                FieldError(name, f"{count} rows would be refused in serving")
                for name, count in encoded.refused_by.items()
            ],
        )
    return encoded.vectors


def encode_rows(contract: Contract, frame: Frame) -> Encoded:
    """Every feature's column, encoded. Raises ``InvalidData`` naming each column of the wrong kind."""
    errors: list[FieldError] = []
    columns: list[tuple[Floats, Bools]] = []
    for feature in contract.features:
        try:
            columns.append(encode_column(feature, frame[feature.name]))
        except InvalidData as error:
            errors.extend(error.fields)
    if errors:
        raise InvalidData("The rows do not fit the contract.", errors)
    vectors = np.stack([values for values, _ in columns], axis=1)
    unseen = np.zeros(vectors.shape, dtype=np.bool_)
    refused = np.zeros(len(vectors), dtype=np.bool_)
    refused_by: dict[str, int] = {}
    for position, (feature, (_, usable)) in enumerate(zip(contract.features, columns, strict=True)):
        if feature.type is FeatureType.CATEGORY:
            unseen[:, position] = frame[feature.name].present & ~usable
        if feature.missing is MissingPolicy.REJECT and not usable.all():
            refused |= ~usable
            refused_by[feature.name] = int((~usable).sum())
    return Encoded(vectors, unseen, refused, refused_by)


def encode_column(feature: Feature, column: Column) -> tuple[Floats, Bools]:
    """One feature's encoded values, its missing policy applied, and where the raw value was usable.

    Raises ``InvalidData`` for a column of the wrong kind.
    """
    if not column.present.any():
        nothing = np.zeros(len(column.values), dtype=np.bool_)
        return np.full(len(nothing), feature.default_value), nothing
    values, usable = _numbers(feature, column)
    usable &= column.present
    if feature.minimum is not None:
        usable &= values >= feature.minimum
    if feature.maximum is not None:
        usable &= values <= feature.maximum
    return np.where(usable, values, feature.default_value), usable


def _numbers(feature: Feature, column: Column) -> tuple[Floats, Bools]:
    """The encoded values and where they are usable, before presence and range."""
    kind, labels = column.values.dtype.kind, column.labels
    if feature.type is FeatureType.CATEGORY:
        if labels is None:
            raise _refused(feature, "must hold strings")
        known = {category: float(code) for code, category in enumerate(feature.categories)}
        code_of = np.array([known.get(label, np.nan) for label in labels])
        codes = code_of[np.where(column.present, column.values, 0)]
        return codes, ~np.isnan(codes)
    if feature.type is FeatureType.BOOLEAN:
        if kind != "b":
            raise _refused(feature, "must hold true or false")
    elif kind not in "iuf" or labels is not None:
        raise _refused(feature, f"must hold {feature.type}s")
    values = column.values.astype(np.float64)
    given = values[column.present]
    if not np.isfinite(given).all():
        raise _refused(feature, "must be finite where present")
    if feature.type is FeatureType.INTEGER and not (given == np.floor(given)).all():
        raise _refused(feature, "must hold integers")
    return values, np.ones(len(values), dtype=np.bool_)


def _refused(feature: Feature, reason: str) -> InvalidData:
    return InvalidData("The rows do not fit the contract.", [FieldError(feature.name, reason)])
