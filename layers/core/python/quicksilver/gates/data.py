"""Evaluation data: the rows a package is judged on, with their outcomes and protected attributes.

A column for each contract feature, *raw* as callers and stores give it, ``target`` (0 or 1) and a column of strings for
each protected attribute, missing where it is unknown. Other columns may be there; a champion with another contract finds
its own among them. ``evaluation_file`` reads it from a file and writes one; the file's SHA-256 goes into the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from quicksilver.contract import Contract
from quicksilver.errors import FieldError, InvalidData
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
    """Evaluation rows: columns of one length, and the type of each column whose values no feature could have."""

    columns: Frame
    sha256: str
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """The names of all columns."""
        return frozenset(self.columns) | frozenset(self.unreadable)

    @property
    def rows(self) -> int:
        return max((len(column.values) for column in self.columns.values()), default=0)

    @cached_property
    def target(self) -> Bools:
        """The outcomes; True is the bad one. Raises ``InvalidData`` unless all are 0 or 1 and both occur."""
        if TARGET not in self.names:
            raise refused(TARGET, "has no column")
        column = self._column(TARGET)
        if absent := int((~column.present).sum()):
            raise refused(TARGET, f"is missing in {absent} rows")
        if column.labels is not None or not np.isin(column.values, (0, 1)).all():
            raise refused(TARGET, "must be 0 or 1 in every row")
        target = column.values.astype(np.bool_)
        if target.all() or not target.any():
            raise refused(TARGET, f"is {int(target[0])} in every row, and one class cannot be judged")
        return target

    def check(self, contract: Contract, protected: Iterable[str] = ()) -> None:
        """Raise ``InvalidData`` naming every column that is absent, before any of them is read."""
        columns = self.names
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
        absent = [name for name in contract.names if name not in self.names]
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
        if attribute not in self.names:
            raise refused(attribute, "is a protected attribute and has no column")
        column = self.columns.get(attribute)
        if column is None or (column.labels is None and column.present.any()):
            raise refused(attribute, "is a protected attribute and must be a column of strings")
        labels = np.array([label or UNKNOWN for label in column.labels or ()] + [UNKNOWN])
        # The last label is the one of rows without a value.
        values = labels[np.where(column.present, column.values, len(labels) - 1).astype(np.int64)]
        names, codes = np.unique(values, return_inverse=True)
        return Groups(attribute, tuple(str(name) for name in names), codes.astype(np.int64))

    def _column(self, name: str) -> Column:
        if name in self.unreadable:
            raise refused(name, f"is of the Parquet type {self.unreadable[name]}, which no feature has")
        return self.columns[name]


def refused(name: str, reason: str) -> InvalidData:
    return InvalidData("The evaluation data is not usable.", [FieldError(name, reason)])
