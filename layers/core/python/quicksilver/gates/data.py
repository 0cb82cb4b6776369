"""Evaluation data: the rows a package is judged on, with their outcomes and protected attributes.

One Parquet file: a column for each contract feature, *raw* as callers and stores give it, ``target`` (0 or
1) and a column of strings for each protected attribute, null where it is unknown. Other columns may be
there; a champion with another contract finds its own among them. The file's SHA-256 goes into the evidence.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quicksilver.contract import Contract
from quicksilver.errors import FieldError, InvalidData, NotFound
from quicksilver.frame import Bools, Column, Encoded, Frame, Ints, encode_rows

TARGET = "target"
UNKNOWN = "unknown"
"""The group of the rows whose protected attribute is not known."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Which group of a protected attribute each row is in: ``names[codes[row]]``. Names are sorted."""

    attribute: str
    names: tuple[str, ...]
    codes: Ints

    def members(self, code: int) -> Bools:
        return np.asarray(self.codes == code)


@dataclass(frozen=True)
class EvaluationData:
    """Evaluation rows as a file holds them. Columns are turned into arrays when they are asked for."""

    table: pa.Table
    sha256: str

    @classmethod
    def from_bytes(cls, data: bytes) -> EvaluationData:
        """Read a file's bytes. Raises ``InvalidData`` unless they are Parquet with at least one row."""
        try:
            table = pq.read_table(io.BytesIO(data))
        except (pa.ArrowException, OSError, ValueError):
            raise InvalidData(
                "The evaluation data is not a Parquet file.", [FieldError("data", "must be Parquet")]
            ) from None
        if len(set(table.column_names)) != len(table.column_names):
            raise _refused("data", "two columns share a name")
        if not table.num_rows:
            raise _refused("data", "must have rows")
        return cls(table, hashlib.sha256(data).hexdigest())

    @classmethod
    def read(cls, path: Path) -> EvaluationData:
        """Read a file. Raises ``NotFound`` where there is none, and as ``from_bytes`` does."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            error = NotFound(f"There is no evaluation data at {path}.")
            error.add_note("quicksilver model pack writes it beside the package; --data names another file.")
            raise error from None
        except OSError as reason:
            raise NotFound(f"The evaluation data {path} cannot be read: {reason.strerror}.") from None
        return cls.from_bytes(data)

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def target(self) -> Bools:
        """The outcomes; True is the bad one. Raises ``InvalidData`` unless all are 0 or 1 and both occur."""
        if TARGET not in self.table.column_names:
            raise _refused(TARGET, "has no column")
        column = self._column(TARGET)
        if absent := int((~column.present).sum()):
            raise _refused(TARGET, f"is missing in {absent} rows")
        if column.labels is not None or not np.isin(column.values, (0, 1)).all():
            raise _refused(TARGET, "must be 0 or 1 in every row")
        target = column.values.astype(np.bool_)
        if target.all() or not target.any():
            raise _refused(TARGET, f"is {int(target[0])} in every row, and one class cannot be judged")
        return target

    def check(self, contract: Contract, protected: Iterable[str] = ()) -> None:
        """Raise ``InvalidData`` naming every column that is absent, before any of them is read."""
        columns = set(self.table.column_names)
        fields = [
            FieldError(name, "is a feature of the contract and has no column")
            for name in contract.names
            if name not in columns
        ]
        fields += [
            FieldError(name, "is a protected attribute and has no column")
            for name in protected
            if name not in columns
        ]
        if TARGET not in columns:
            fields.append(FieldError(TARGET, "has no column"))
        if fields:
            raise InvalidData("The evaluation data lacks columns.", fields)

    def frame(self, contract: Contract) -> Frame:
        """The raw columns of a contract's features. Raises ``InvalidData`` naming those that are absent."""
        absent = [name for name in contract.names if name not in self.table.column_names]
        if absent:
            raise InvalidData(
                "The evaluation data lacks columns.",
                [FieldError(name, "is a feature of the contract and has no column") for name in absent],
            )
        return {name: self._column(name) for name in contract.names}

    def encode(self, contract: Contract) -> Encoded:
        """The rows as a contract's vectors, and those that serving would refuse.

        Raises ``InvalidData`` naming every column that is absent or of the wrong type.
        """
        return encode_rows(contract, self.frame(contract))

    def groups(self, attribute: str) -> Groups:
        """The groups of a protected attribute. A null and an empty string are ``unknown``, a group of its own."""
        if attribute not in self.table.column_names:
            raise _refused(attribute, "is a protected attribute and has no column")
        column = self.table.column(attribute)
        if pa.types.is_null(column.type):
            column = column.cast(pa.string())
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if not _is_text(column.type):
            raise _refused(attribute, "is a protected attribute and must be a column of strings")
        values = np.array(pc.fill_null(column, "").to_pylist(), dtype=object)
        values[values == ""] = UNKNOWN
        names, codes = np.unique(values.astype(str), return_inverse=True)
        return Groups(attribute, tuple(str(name) for name in names), codes.astype(np.int64))

    def _column(self, name: str) -> Column:
        """A column as arrays. A NaN is a missing value: JSON and the feature store know none."""
        array = pa.concat_arrays(self.table.column(name).chunks)
        kind = array.type
        if pa.types.is_dictionary(kind) or _is_text(kind):
            coded = array if pa.types.is_dictionary(kind) else array.dictionary_encode()
            if not _is_text(coded.type.value_type):
                raise _refused(name, "has categories that are not strings")
            codes = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
            return Column(codes, _present(array), tuple(coded.dictionary.to_pylist()))
        if pa.types.is_null(kind):
            return Column(np.zeros(len(array)), np.zeros(len(array), dtype=np.bool_))
        if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise _refused(name, f"is of the Parquet type {kind}, which no feature has")
        values = pc.fill_null(array, pa.scalar(0).cast(kind)).to_numpy(zero_copy_only=False)
        present = _present(array)
        if values.dtype.kind == "f":
            present = present & ~np.isnan(values)
            values = np.where(present, values, values.dtype.type(0))
        return Column(values, present)


def evaluation_bytes(
    features: Frame | Mapping[str, Any] | Any,
    target: Sequence[int] | NDArray[Any],
    protected: Mapping[str, Any] | Any | None = None,
) -> bytes:
    """An evaluation file. Same rows, same bytes.

    Parameters
    ----------
    features: raw columns: a ``Frame``, a pandas frame, or arrays by name; all of them are kept.
    target: 0 or 1 per row.
    protected: strings by attribute, as a pandas frame or sequences by name; None or NaN is unknown.

    Raises ``InvalidData`` naming a column of another length, of mixed types, or of a name that is taken.
    """
    columns = _arrow_columns(features)
    rows = len(next(iter(columns.values()))) if columns else 0
    fields = []
    for name, values in _arrow_columns({} if protected is None else protected).items():
        if name in columns:
            fields.append(FieldError(name, "is both a feature and a protected attribute"))
        columns[name] = values.cast(pa.string())
    if TARGET in columns:
        fields.append(FieldError(TARGET, "is the name of the outcome and of no other column"))
    columns[TARGET] = pa.array(np.asarray(target).astype(np.int8))
    fields += [
        FieldError(name, f"has {len(values)} rows, not {rows}")
        for name, values in columns.items()
        if len(values) != rows
    ]
    if fields:
        raise InvalidData("The evaluation data is not usable.", fields)
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def _refused(name: str, reason: str) -> InvalidData:
    return InvalidData("The evaluation data is not usable.", [FieldError(name, reason)])


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _present(array: pa.Array) -> Bools:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _arrow_columns(frame: Any) -> dict[str, pa.Array]:
    names = frame.columns if hasattr(frame, "columns") else frame.keys()
    columns = {}
    for name in names:
        try:
            array = _arrow(frame[name])
        except pa.ArrowException:
            raise _refused(str(name), "mixes types in one column") from None
        columns[str(name)] = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return columns


def _arrow(column: Any) -> pa.Array:
    if not isinstance(column, Column):
        return pa.array(column, from_pandas=True)
    if column.labels is None:
        return pa.array(column.values, mask=~column.present)
    labels = np.array(column.labels or ("",), dtype=object)
    return pa.array(
        labels[np.where(column.present, column.values, 0)], type=pa.string(), mask=~column.present
    )
