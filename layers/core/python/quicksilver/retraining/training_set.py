"""The training set: what a model answered and what came of it, as its contract's vectors.

A vector is learned from as the model saw it. Where a feature's own value could not be used (it was late, stale, absent or
of a category without a name), the vector holds what the contract's policy put in its place, and so it will in serving: a
model that is to answer then must have met it. What the value would have been nobody has recorded, so nothing is made up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from quicksilver.contract import Contract, FeatureType
from quicksilver.errors import FieldError, InvalidData
from quicksilver.features import Cause
from quicksilver.frame import Bools, Column, Floats, Frame, Ints
from quicksilver.training_frame import decode_matrix

COLUMNS = ("prediction_id", "time", "vector", "label", "groups")
DEGRADED = "degraded"
"""A column that a set may have too, as prediction records do: with it, a default is told from a value."""
UNSEEN = "(unseen)"
"""What stands for a category that the contract does not name. Records do not keep which one it was."""
MEMORY_LIMIT = "2GB"


@dataclass(frozen=True)
class TrainingRows:
    """Rows in the order of time. ``vectors``, ``degraded`` and ``unseen`` have shape (rows, features), the rest (rows,).

    ``degraded`` are the places whose value is the policy's and not the feature's own, ``unseen`` those of them whose
    category had no name. ``groups`` are protected attributes, for gates and for nothing else.
    """

    contract: Contract
    times_ms: Ints
    vectors: Floats
    labels: Bools
    degraded: Bools
    unseen: Bools
    groups: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: slice) -> TrainingRows:
        taken = {
            name: Column(column.values[rows], column.present[rows], column.labels)
            for name, column in self.groups.items()
        }
        return TrainingRows(
            self.contract,
            self.times_ms[rows],
            self.vectors[rows],
            self.labels[rows],
            self.degraded[rows],
            self.unseen[rows],
            taken,
        )

    def frame(self) -> Frame:
        """Raw columns that give these very vectors by the contract: a degraded value is missing, or has no name."""
        frame = dict(decode_matrix(self.contract, self.vectors))
        for place, feature in enumerate(self.contract.features):
            column, degraded, unseen = frame[feature.name], self.degraded[:, place], self.unseen[:, place]
            values, labels = column.values, column.labels
            if feature.type is FeatureType.CATEGORY and unseen.any():
                labels = (*feature.categories, UNSEEN)
                values = np.where(unseen, len(feature.categories), values)
            frame[feature.name] = Column(values, (column.present & ~degraded) | unseen, labels)
        return frame


def read_training_set(data: bytes, contract: Contract) -> TrainingRows:
    """Read a Parquet file of ``COLUMNS``.

    Raises ``InvalidData`` where it is none, lacks a column, has no rows, a row without a label, or a vector that is not
    of the contract.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "set.parquet")
        file.write_bytes(data)
        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
            connection.execute("SET allowed_directories = [$folder]", {"folder": folder})
            connection.execute("SET temp_directory = $folder", {"folder": folder})
            connection.execute("SET enable_external_access = false")
            connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
            try:
                return _read(connection, file, contract)
            except duckdb.Error:
                raise _refused("set", "is not Parquet of the columns " + ", ".join(COLUMNS)) from None


def _read(connection: duckdb.DuckDBPyConnection, file: Path, contract: Contract) -> TrainingRows:
    bound = {"file": str(file)}
    described = connection.execute("SELECT * FROM read_parquet($file) LIMIT 0", bound).description or ()
    names = {column[0] for column in described}
    if absent := [name for name in COLUMNS if name not in names]:
        raise InvalidData(
            "The training set lacks columns.", [FieldError(name, "has no column") for name in absent]
        )
    connection.execute(
        f"""
        CREATE TEMP TABLE training AS
        SELECT row_number() OVER (ORDER BY time, prediction_id) - 1 AS place, CAST(time AS TIMESTAMP) AS time,
            CAST(vector AS DOUBLE[]) AS vector, CAST(label AS BOOLEAN) AS label,
            CAST(groups AS MAP(VARCHAR, VARCHAR)) AS groups, {DEGRADED if DEGRADED in names else "NULL"} AS degraded
        FROM read_parquet($file)
        """,  # noqa: S608 - a column's name or NULL
        bound,
    )
    _require_whole(connection, contract)
    values = ", ".join(f"vector[{place}] AS f{place}" for place in range(1, len(contract.features) + 1))
    read = connection.execute(
        f"SELECT epoch_ms(time) AS time, label, {values} FROM training ORDER BY place"  # noqa: S608
    ).fetchnumpy()
    vectors = np.empty((len(read["label"]), len(contract.features)))
    for place in range(len(contract.features)):
        vectors[:, place] = np.ma.filled(read.pop(f"f{place + 1}"), np.nan)
    degraded, unseen = _degraded(connection, contract, len(vectors), known=DEGRADED in names)
    return TrainingRows(
        contract,
        np.ma.getdata(read["time"]).astype(np.int64),
        vectors,
        np.ma.getdata(read["label"]).astype(np.bool_),
        degraded,
        unseen,
        _groups(connection, len(vectors)),
    )


def _require_whole(connection: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    rows, unlabelled, untimed, other = connection.execute(
        """
        SELECT count(*), count(*) FILTER (label IS NULL), count(*) FILTER (time IS NULL),
            count(*) FILTER (coalesce(len(vector), 0) <> $features) FROM training
        """,
        {"features": len(contract.features)},
    ).fetchall()[0]
    if not rows:
        raise _refused("set", "must have rows")
    if unlabelled:
        raise _refused("label", f"is missing in {unlabelled:,} rows")
    if untimed:
        raise _refused("time", f"is missing in {untimed:,} rows")
    if other:
        raise _refused(
            "vector",
            f"has another number of values than the contract's {len(contract.features)} in {other:,} rows",
        )


def _degraded(
    connection: duckdb.DuckDBPyConnection, contract: Contract, rows: int, *, known: bool
) -> tuple[Bools, Bools]:
    degraded = np.zeros((rows, len(contract.features)), dtype=np.bool_)
    unseen = np.zeros_like(degraded)
    if not known:
        return degraded, unseen
    found: dict[str, Any] = connection.execute(
        """
        SELECT place, item.feature AS feature, item.cause = $unseen AS unseen
        FROM (SELECT place, unnest(degraded) AS item FROM training) WHERE item.feature IS NOT NULL
        """,
        {"unseen": Cause.UNSEEN_CATEGORY.value},
    ).fetchnumpy()
    places, names = np.ma.getdata(found["place"]).astype(np.int64), np.ma.getdata(found["feature"])
    for position, feature in enumerate(contract.features):
        its = names == feature.name
        degraded[places[its], position] = True
        if feature.type is FeatureType.CATEGORY:
            unseen[places[its & np.ma.filled(found["unseen"], False)], position] = True
    return degraded, unseen


def _groups(connection: duckdb.DuckDBPyConnection, rows: int) -> dict[str, Column]:
    found = connection.execute(
        """
        SELECT place, item.key AS attribute, item.value AS value
        FROM (SELECT place, unnest(map_entries(groups)) AS item FROM training) WHERE item.value <> ''
        """
    ).fetchnumpy()
    places, attributes, values = (
        np.ma.getdata(found["place"]).astype(np.int64),
        np.ma.getdata(found["attribute"]),
        np.ma.getdata(found["value"]),
    )
    groups = {}
    for attribute in sorted(set(attributes.tolist())):
        its = attributes == attribute
        labels, codes = np.unique(values[its].astype(str), return_inverse=True)
        column = Column(
            np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.bool_), tuple(labels.tolist())
        )
        column.values[places[its]], column.present[places[its]] = codes, True
        groups[str(attribute)] = column
    return groups


def _refused(name: str, reason: str) -> InvalidData:
    return InvalidData("The training set cannot be learned from.", [FieldError(name, reason)])
