"""What data scientists hold in their hands, as a ``Frame``: pandas frames, arrays by name, encoded matrices.

pandas is never imported here: what it hands over is known by what it can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quicksilver.contract import Contract, Feature, FeatureType
from quicksilver.errors import FieldError, InvalidData
from quicksilver.frame import Bools, Column, Floats, Frame, partial

TrainingFrame: TypeAlias = Mapping[str, Any] | Any
"""A pandas DataFrame, arrays or lists of one length by name, or a ``Frame``."""


def read_frame(frame: TrainingFrame, names: Iterable[str]) -> Frame:
    """These columns of a frame. Raises ``InvalidData`` naming each that is absent, mixed or of another length."""
    names = list(names)
    if absent := [name for name in names if name not in frame]:
        raise InvalidData("The frame lacks columns.", [FieldError(name, "is absent") for name in absent])
    columns = {name: read_column(name, frame[name]) for name in names}
    if len({len(column.values) for column in columns.values()}) > 1:
        raise InvalidData(
            "The columns are not of one length.",
            [FieldError(name, f"has {len(column.values)} rows") for name, column in columns.items()],
        )
    return columns


def read_column(name: str, values: Any) -> Column:
    """One column as pandas, numpy or a list has it; None, NaN and pandas' own marks are missing."""
    if isinstance(values, Column):
        return values
    present = ~np.asarray(values.isna(), dtype=np.bool_) if hasattr(values, "isna") else None
    array = np.asarray(values.array if hasattr(values, "array") else values)
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
        # numpy makes strings of everything as soon as one value is one.
        array = np.asarray(values, dtype=object)
    if array.ndim != 1:
        raise InvalidData("The frame is not usable.", [FieldError(name, "must be one value per row")])
    if array.dtype.kind == "f":
        return partial(array.astype(np.float64), ~np.isnan(array))
    if array.dtype.kind in "iub":
        return partial(array, np.ones(len(array), dtype=np.bool_) if present is None else present)
    objects = array.astype(object)
    if present is None:
        present = np.array([value is not None and value == value for value in objects], dtype=np.bool_)
    return _of_objects(name, objects, present)


def _of_objects(name: str, objects: NDArray[Any], present: Bools) -> Column:
    """Objects of one kind as that kind: pandas keeps booleans and integers with gaps as objects."""
    given = objects[present]
    kinds = {type(value) for value in given}
    if all(issubclass(kind, str) for kind in kinds):
        labels, codes = np.unique(given.astype(str), return_inverse=True)
        positions = np.zeros(len(objects), dtype=np.int64)
        positions[present] = codes
        return Column(positions, present, tuple(labels.tolist()))
    values: NDArray[Any]
    if kinds <= {bool, np.bool_}:
        values = np.zeros(len(objects), dtype=np.bool_)
    elif not kinds & {bool, np.bool_} and all(issubclass(kind, int | float | np.number) for kind in kinds):
        values = np.full(len(objects), np.nan)
    else:
        mixed = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise InvalidData(
            "The frame is not usable.", [FieldError(name, f"holds {mixed}, which no feature does")]
        )
    values[present] = given.astype(values.dtype)
    return partial(values, present)


def decode_matrix(contract: Contract, vectors: Floats) -> Frame:
    """Vectors of shape (rows, features) in contract order as raw columns: what requests and stores would hold.

    Raises ``InvalidData`` for another shape, and for a code that no category or boolean has.
    """
    if vectors.ndim != 2 or vectors.shape[1] != len(contract.features):
        shape = f"has shape {vectors.shape}, not (rows, {len(contract.features)})"
        raise InvalidData("The vectors do not fit the contract.", [FieldError("vectors", shape)])
    return {
        feature.name: _decoded(feature, np.asarray(vectors[:, position], dtype=np.float64))
        for position, feature in enumerate(contract.features)
    }


def _decoded(feature: Feature, codes: Floats) -> Column:
    present = ~np.isnan(codes)
    if feature.type in (FeatureType.NUMBER, FeatureType.INTEGER):
        return partial(codes, present)
    known = 2 if feature.type is FeatureType.BOOLEAN else len(feature.categories)
    if not np.isin(codes[present], np.arange(known)).all():
        reason = f"has a code that is none of its {known}"
        raise InvalidData("The vectors do not fit the contract.", [FieldError(feature.name, reason)])
    filled = np.where(present, codes, 0)
    if feature.type is FeatureType.BOOLEAN:
        return partial(filled.astype(np.bool_), present)
    return Column(filled.astype(np.int64), present, feature.categories)
