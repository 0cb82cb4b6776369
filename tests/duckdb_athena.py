"""Athena as far as the query port knows it, computed by DuckDB: raw tables with their partitions, and answers as texts.

It holds the texts that the Athena engine sends to the same answers. What Trino itself would make of them is parsed elsewhere.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb

from quicksilver.archive import PREDICTIONS, TABLES, ArchiveTable
from quicksilver.archive_catalog import ENDPOINT, HOUR, raw_name
from quicksilver.column_types import Scalar
from quicksilver.errors import InvalidQuery
from quicksilver.sql.engine import ArchiveDatabase
from tests.unit.test_athena import ScriptedAthena

_KINDS = {
    "TIMESTAMP": "timestamp",
    "DOUBLE[]": "array",
    "DATE": "date",
    "VARCHAR": "varchar",
    "BOOLEAN": "boolean",
}


def add_raw_tables(database: ArchiveDatabase) -> None:
    """What the catalog has: each table's records as they lie, with the columns that their folders say."""
    for table in TABLES.values():
        records = f"SELECT {_raw(table)} FROM {table.name}_lines"  # noqa: S608 - our own names
        database.query(f"CREATE OR REPLACE VIEW {raw_name(table)} AS {records}")


def _raw(table: ArchiveTable) -> str:
    said = [
        f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%gZ') AS {name}"
        if kind is Scalar.MOMENT and table is not PREDICTIONS
        else name
        for name, kind in table.record_columns.items()
    ]
    if table.by_endpoint:
        said.append(f"endpoint AS {ENDPOINT}")
    if table.by_hour:
        said.append(f"strftime(time, '%Y/%m/%d/%H') AS {HOUR}")
    return ", ".join(said)


class DuckDBAthena(ScriptedAthena):
    """Answers each text by a database with raw tables."""

    def __init__(self, database: ArchiveDatabase) -> None:
        super().__init__()
        self._database = database

    def start_query_execution(self, **request: Any) -> dict[str, str]:
        started = super().start_query_execution(**request)
        try:
            table = self._database.query(request["QueryString"])
            described = self._database.query(f"DESCRIBE {request['QueryString']}").rows
        except (duckdb.Error, InvalidQuery) as error:
            failure = {
                "State": "FAILED",
                "StateChangeReason": str(error),
                "AthenaError": {"ErrorCategory": 2},
            }
            self.statuses = [failure]
            return started
        self.statuses = [{"State": "SUCCEEDED"}]
        self._columns = [(row[0], _kind(row[1])) for row in described]
        self._pages = [[tuple(map(_text, row)) for row in table.rows]]
        return started


def _kind(kind: str) -> str:
    return "bigint" if kind in ("HUGEINT", "BIGINT", "INTEGER", "UBIGINT") else _KINDS.get(kind, kind.lower())


def _text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat(" ", "milliseconds")
        case list():
            return "[" + ", ".join(_text(item) or "null" for item in value) + "]"
        case _:
            return str(value)
