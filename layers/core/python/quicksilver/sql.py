"""SQL over the archive's tables, with DuckDB. Not on the request path; needs the ``duckdb`` package."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from quicksilver.archive import TABLES, ArchiveTable
from quicksilver.errors import InvalidQuery
from quicksilver.query import Table

MEMORY_LIMIT = "1GB"
"""What a query may hold in memory; the rest is on disk, beside the tables."""


class ArchiveDatabase:
    """The archive's tables, open for queries that can reach nothing but the folder they are in."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def append(self, table: ArchiveTable, file: Path) -> None:
        """Add the records of a JSON Lines file in the database's own folder. Raises ``InvalidQuery``."""
        try:
            self._connection.execute(f"INSERT INTO {table.name} SELECT * FROM {_records(table)}", [str(file)])  # noqa: S608
        except duckdb.Error as error:
            raise InvalidQuery(str(error).strip()) from None

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Table:
        """Run one SQL text, with ``$name`` for each parameter. Raises ``InvalidQuery`` with DuckDB's own words."""
        try:
            result = self._connection.execute(sql, parameters)
            names = tuple(column[0] for column in result.description or ())
            return Table(names, tuple(result.fetchall()))
        except duckdb.Error as error:
            raise InvalidQuery(str(error).strip()) from None

    def batches(self, sql: str, rows: int) -> Iterator[Table]:
        """The answer to one SQL text in its order, so many rows at a time. Raises ``InvalidQuery``."""
        try:
            result = self._connection.execute(sql)
            names = tuple(column[0] for column in result.description or ())
            while batch := result.fetchmany(rows):
                yield Table(names, tuple(batch))
        except duckdb.Error as error:
            raise InvalidQuery(str(error).strip()) from None


@contextmanager
def archive_database(folder: Path) -> Iterator[ArchiveDatabase]:
    """The tables, each read from ``<name>.jsonl`` in a folder; one without its file is empty.

    What does not fit in memory is kept in that folder too. Raises ``InvalidQuery`` for lines that are no records.
    """
    with duckdb.connect(str(folder / "archive.duckdb")) as connection:
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET allowed_directories = [$folder]", {"folder": str(folder)})
        try:
            for table in TABLES.values():
                _create(connection, table, folder / f"{table.name}.jsonl")
            connection.execute("SET enable_external_access = false")
        except duckdb.Error as error:
            raise InvalidQuery(str(error).strip()) from None
        yield ArchiveDatabase(connection)


def query_archive(sql: str, folder: Path) -> Table:
    """Run one SQL text on the tables in a folder. Raises ``InvalidQuery``."""
    with archive_database(folder) as database:
        return database.query(sql)


def tables_named(sql: str) -> tuple[ArchiveTable, ...]:
    """The archive's tables that a SQL text may read: those whose name is a word of it."""
    words = set(re.findall(r"\w+", sql.lower()))
    return tuple(table for name, table in TABLES.items() if name in words)


def _create(connection: duckdb.DuckDBPyConnection, table: ArchiveTable, file: Path) -> None:
    if not file.exists():
        columns = ", ".join(f'"{name}" {kind}' for name, kind in table.columns.items())
        connection.execute(f"CREATE TABLE {table.name} ({columns})")
        return
    # The names and types are our own records', and the path is bound.
    key = ", ".join(table.key)
    connection.execute(
        f"""
        CREATE TABLE {table.name} AS SELECT * FROM (
            SELECT DISTINCT ON ({key}) * FROM {_records(table)} ORDER BY time DESC
        ) ORDER BY time, {key}
        """,  # noqa: S608
        [str(file)],
    )


def _records(table: ArchiveTable) -> str:
    """A table's records in a file whose path is the query's only parameter."""
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in table.columns.items())
    return f"read_json(?, format = 'newline_delimited', columns = {{{columns}}})"
