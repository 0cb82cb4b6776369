"""The archive as the Glue catalog has it: raw tables over the objects, and the SQL that makes the archive's tables of them.

Partitions are projected, not registered: an endpoint's folder by ``archive_endpoint``, an hour's by ``archive_hour``. A raw
table's own ``endpoint`` is left to whoever reads objects; in SQL the folder says it, so that a condition on it prunes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from quicksilver.archive import PREDICTIONS, TABLES, ArchiveTable, hours
from quicksilver.archive_views import VIEWS, ArchiveView, one_per_key
from quicksilver.column_types import ColumnType, Scalar, hive_type, trino_type
from quicksilver.query import Span, text

ENDPOINT, HOUR = "archive_endpoint", "archive_hour"

RESULTS_PREFIX = "athena-results/"
"""Where Athena leaves its answers in the archive bucket, for a few days."""


def raw_name(table: ArchiveTable) -> str:
    """The Glue table over a table's objects."""
    return f"{table.name}_raw"


def raw_columns(table: ArchiveTable, *, parquet: bool) -> dict[str, str]:
    """A raw table's columns in Hive's words. JSON has its time as text: a SerDe takes no ISO-8601 for a timestamp."""
    return {
        name: hive_type(Scalar.TEXT if _is_text(kind, parquet=parquet) else kind)
        for name, kind in table.record_columns.items()
    }


def _is_text(kind: ColumnType, *, parquet: bool) -> bool:
    return kind is Scalar.MOMENT and not parquet


def raw_partitions(table: ArchiveTable) -> tuple[str, ...]:
    """The names of a raw table's partition columns, all of them text."""
    return (ENDPOINT,) * table.by_endpoint + (HOUR,) * table.by_hour


def records(
    table: ArchiveTable,
    span: Span | None = None,
    *,
    parquet: bool,
    endpoint: str | None = None,
    late_ms: int = 0,
    without: Collection[str] = (),
) -> str:
    """SQL for the records in a raw table, of a span's partitions and an endpoint's, ``without`` some objects by address."""
    conditions = [f"{name} IS NOT NULL" for name in ("time", *table.key) if name in table.record_columns]
    if endpoint is not None and table.by_endpoint:
        conditions.append(f"{ENDPOINT} = {text(endpoint)}")
    first, last = (hour and hour.rstrip("/") for hour in hours(table, span, late_ms))
    if first:
        conditions.append(f"{HOUR} >= {text(first)}")
    if last:
        conditions.append(f"{HOUR} <= {text(last)}")
    if without:
        conditions.append(f'"$path" NOT IN ({", ".join(map(text, sorted(without)))})')
    columns = ", ".join(_read(table, name, kind, parquet=parquet) for name, kind in table.columns.items())
    return f"SELECT {columns} FROM {raw_name(table)} WHERE {' AND '.join(dict.fromkeys(conditions))}"  # noqa: S608


def _read(table: ArchiveTable, name: str, kind: ColumnType, *, parquet: bool) -> str:
    if name == "endpoint" and table.by_endpoint:
        return f"{ENDPOINT} AS endpoint"
    if _is_text(kind, parquet=parquet):  # 2026-11-23T07:16:00.000Z
        return f"CAST(replace(replace({name}, 'T', ' '), 'Z', '') AS timestamp) AS {name}"
    return name


def views(*, parquet: Collection[str]) -> dict[str, tuple[Mapping[str, ColumnType], str]]:
    """Every table and view of the archive by name, as its columns and SQL; ``parquet`` names the tables that are Parquet."""
    tables = {
        name: (table.columns, one_per_key(table, records(table, parquet=name in parquet)))
        for name, table in TABLES.items()
    }
    return tables | {name: (view.columns, view.sql) for name, view in VIEWS.items()}


def with_tables(sql: str, tables: Mapping[str, str], named: Sequence[ArchiveView]) -> str:
    """A SQL text after definitions of its tables, and of views on them."""
    defined = {**tables} | {view.name: view.sql for view in named}
    if not defined:
        return sql
    ours = ", ".join(f"{name} AS ({meaning})" for name, meaning in defined.items())
    rest = sql.lstrip()
    if rest[:4].lower() == "with" and rest[4:5].isspace():
        return f"WITH {ours}, {rest[5:].lstrip()}"
    return f"WITH {ours} {rest}"


def presto_view(database: str, columns: Mapping[str, ColumnType], sql: str) -> str:
    """A view as Athena keeps it in the catalog: a comment that holds its definition."""
    definition = {
        "originalSql": sql,
        "catalog": "awsdatacatalog",
        "schema": database,
        "columns": [{"name": name, "type": trino_type(kind)} for name, kind in columns.items()],
    }
    encoded = base64.b64encode(json.dumps(definition, separators=(",", ":")).encode()).decode()
    return f"/* Presto View: {encoded} */"


def schema() -> dict[str, Any]:
    """The columns of every raw table in Hive's words, as they are when they are Parquet: what readers rely on."""
    return {table.name: raw_columns(table, parquet=table is PREDICTIONS) for table in TABLES.values()}


def incompatibilities(
    old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Why objects written under an old schema cannot be read under a new one, a sentence for each column.

    Columns may be added at a table's end, and members within one.
    """
    found = []
    for table, columns in old.items():
        now = new.get(table, {})
        for place, (name, kind) in enumerate(columns.items()):
            if name not in now:
                found.append(f"{table}.{name} is gone: a column is never removed or renamed.")
            elif not _takes(kind, now[name]):
                found.append(f"{table}.{name} was {kind} and is {now[name]}: a column keeps its type.")
            elif list(now).index(name) != place:
                found.append(f"{table}.{name} has moved: columns are added at the end.")
    return found


def _takes(old: str, new: str) -> bool:
    """Whether a type is another or has more members."""
    if old == new:
        return True
    (outer, inner), (outer_now, inner_now) = _opened(old), _opened(new)
    if outer != outer_now or not inner:
        return False
    if outer != "struct":
        return len(inner) == len(inner_now) and all(map(_takes, inner, inner_now))
    members, members_now = (dict(part.split(":", 1) for part in parts) for parts in (inner, inner_now))
    return all(name in members_now and _takes(kind, members_now[name]) for name, kind in members.items())


def _opened(kind: str) -> tuple[str, list[str]]:
    """A Hive type's name and what is between its brackets, parted where they are its own."""
    outer, _, rest = kind.partition("<")
    parts, depth = [""], 0
    for letter in rest[:-1]:
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return outer, parts if rest else []
