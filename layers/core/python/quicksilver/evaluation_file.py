"""The evaluation file: evaluation data as one Parquet file, read and written by DuckDB, which people and functions have.

Types that count are booleans, integers, floats and strings, dictionary-encoded or not; of any other only its name is read.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from quicksilver.errors import FieldError, InvalidData, NotFound
from quicksilver.frame import Column
from quicksilver.gates.data import TARGET, EvaluationData, refused
from quicksilver.training_frame import TrainingFrame, read_column

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_NUMBERS = frozenset({"BOOLEAN", "FLOAT", "DOUBLE", *_WHOLE, *(f"U{kind}" for kind in _WHOLE)})
_NOTHING = '"NULL"'


def read_evaluation(path: Path) -> EvaluationData:
    """Read a file. Raises ``NotFound`` where there is none, and ``InvalidData`` unless it is Parquet with rows."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        error = NotFound(f"There is no evaluation data at {path}.")
        error.add_note("quicksilver model pack writes it beside the package; --data names another file.")
        raise error from None
    except OSError as reason:
        raise NotFound(f"The evaluation data {path} cannot be read: {reason.strerror}.") from None
    return open_evaluation(data)


def open_evaluation(data: bytes) -> EvaluationData:
    """Read a file's bytes. Raises ``InvalidData`` unless they are Parquet with at least one row."""
    with _database() as (connection, file):
        file.write_bytes(data)
        try:
            return _read(connection, file, hashlib.sha256(data).hexdigest())
        except duckdb.Error:
            raise InvalidData(
                "The evaluation data is not a Parquet file.", [FieldError("data", "must be Parquet")]
            ) from None


def evaluation_bytes(
    features: TrainingFrame, target: Sequence[int] | NDArray[Any], protected: TrainingFrame | None = None
) -> bytes:
    """An evaluation file. Same rows, same bytes.

    Parameters
    ----------
    features: raw columns: a ``Frame``, a pandas frame, or arrays by name; all of them are kept.
    target: 0 or 1 per row.
    protected: strings by attribute, as a pandas frame or sequences by name; None or NaN is unknown.

    Raises ``InvalidData`` naming a column of another length, of mixed types, or of a name that is taken.
    """
    columns = _columns(features)
    rows = len(next(iter(columns.values())).values) if columns else 0
    fields = []
    for name, column in _columns({} if protected is None else protected).items():
        if name in columns:
            fields.append(FieldError(name, "is both a feature and a protected attribute"))
        columns[name] = _as_text(column)
    if TARGET in columns:
        fields.append(FieldError(TARGET, "is the name of the outcome and of no other column"))
    columns[TARGET] = read_column(TARGET, np.asarray(target).astype(np.int8))
    fields += [
        FieldError(name, f"has {len(column.values)} rows, not {rows}")
        for name, column in columns.items()
        if len(column.values) != rows
    ]
    if fields:
        raise InvalidData("The evaluation data is not usable.", fields)
    with _database() as (connection, file):
        connection.register(
            "frame", {f"c{place}": _values(column) for place, column in enumerate(columns.values())}
        )
        names = ", ".join(f"c{place} AS {_quoted(name)}" for place, name in enumerate(columns))
        connection.execute(f"COPY (SELECT {names} FROM frame) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")  # noqa: S608
        return file.read_bytes()


@contextmanager
def _database() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database that reaches nothing but one file of its own. One thread: the order of rows decides the file's bytes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        duckdb.connect(config={"threads": "1", "autoinstall_known_extensions": "false"}) as connection,
    ):
        connection.execute("SET allowed_directories = [$folder]", {"folder": folder})
        connection.execute("SET enable_external_access = false")
        # Objects are strings or None, and never what a sample of them looks like.
        connection.execute("SET pandas_analyze_sample = 0")
        yield connection, Path(folder, "rows.parquet")


def _read(connection: duckdb.DuckDBPyConnection, file: Path, sha256: str) -> EvaluationData:
    names = _names(connection, file)
    if len(set(names)) != len(names):
        raise refused("data", "two columns share a name")
    rows = "FROM read_parquet($file)"
    bound = {"file": str(file)}
    if not connection.execute(f"SELECT count(*) {rows}", bound).fetchall()[0][0]:
        raise refused("data", "must have rows")
    # DuckDB gives a column another name where two differ by their case only.
    described = connection.execute(f"SELECT * {rows} LIMIT 0", bound).description or ()
    types = {name: str(column[1]) for name, column in zip(names, described, strict=True)}
    read = {name: column[0] for name, column in zip(names, described, strict=True) if _is_read(types[name])}
    unreadable = {name: kind for name, kind in types.items() if name not in read}
    if not read:
        return EvaluationData({}, sha256, unreadable)
    chosen = ", ".join(_quoted(name) for name in read.values())
    arrays = connection.execute(f"SELECT {chosen} {rows}", bound).fetchnumpy()
    columns = {name: _column(types[name], arrays[ours]) for name, ours in read.items()}
    return EvaluationData(columns, sha256, unreadable)


def _names(connection: duckdb.DuckDBPyConnection, file: Path) -> list[str]:
    """The columns' names as the file has them; what lies within a column is none."""
    schema = connection.execute(
        "SELECT name, coalesce(num_children, 0) FROM parquet_schema($file)", {"file": str(file)}
    ).fetchall()
    names, within = [], 0
    for name, children in schema[1:]:
        if not within:
            names.append(str(name))
            within = 1
        within += int(children) - 1
    return names


def _is_read(kind: str) -> bool:
    return kind in _NUMBERS or kind in ("VARCHAR", _NOTHING)


def _column(kind: str, array: NDArray[Any]) -> Column:
    """A column as DuckDB gives it: masked where there are nulls. A NaN is missing too: JSON and the feature store know
    none."""
    present = ~np.ma.getmaskarray(array)
    values = np.ma.getdata(array)
    if kind == _NOTHING:
        return Column(np.zeros(len(values)), present)
    if kind == "VARCHAR":
        codes = np.zeros(len(values), dtype=np.int64)
        places: dict[str, int] = {}
        given = values[present].tolist()
        codes[present] = np.fromiter(
            (places.setdefault(value, len(places)) for value in given), dtype=np.int64, count=len(given)
        )
        return Column(codes, present, tuple(places))
    if values.dtype.kind == "f":
        present = present & ~np.isnan(values)
    return Column(np.where(present, values, values.dtype.type(0)), present)


def _columns(frame: TrainingFrame) -> dict[str, Column]:
    names: Any = frame.columns if hasattr(frame, "columns") else frame.keys()
    return {str(name): read_column(str(name), frame[name]) for name in names}


def _as_text(column: Column) -> Column:
    if column.labels is not None:
        return column
    labels, codes = np.unique(column.values.astype(str), return_inverse=True)
    return Column(codes.astype(np.int64), column.present, tuple(labels.tolist()))


def _values(column: Column) -> NDArray[Any]:
    if column.labels is None:
        return np.ma.masked_array(column.values, ~column.present)
    # The last label is the one of rows without a value.
    labels = np.array([*column.labels, None], dtype=object)
    return labels[np.where(column.present, column.values, len(labels) - 1)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
