"""The query port on DuckDB: copies what of the archive is needed to a folder, and opens it for queries.

A query can reach nothing but that folder: no extension is loaded, and no file or address is open to it. Memory is bounded;
what does not fit is kept in the folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from quicksilver.archive import HOUR_MS, LATE_HOURS, TABLES, ArchiveReader, ArchiveTable
from quicksilver.archive_views import VIEWS, one_per_key, tables_of
from quicksilver.errors import InvalidQuery
from quicksilver.query import Skipped, Span, Table
from quicksilver.sql.dialect import speak_trino
from quicksilver.sql.loading import Loaded, is_damage

MEMORY_LIMIT = "1GB"
"""What a query may hold in memory."""

Steps = Callable[[str, int, int], None]
"""Told of each step: its name, how much is done, and of how much."""


class ArchiveDatabase:
    """The archive's tables, open for queries."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, loaded: Sequence[Loaded], folder: Path) -> None:
        self.folder = folder
        """All that queries and ``append`` can reach."""
        self._connection = connection
        self._loaded = {each.table.name: each for each in loaded}
        self._verified = False
        for each in loaded:
            self._define(each)
        for view in VIEWS.values():
            connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")

    @property
    def skipped(self) -> Sequence[Skipped]:
        return [skipped for each in self._loaded.values() for skipped in each.skipped]

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Table:
        """Run one SQL text, with ``$name`` for each parameter. Raises ``InvalidQuery`` with DuckDB's own words."""
        try:
            return self._answered(sql, parameters)
        except duckdb.Error as error:
            raise InvalidQuery(str(error).strip()) from None

    def batches(self, sql: str, rows: int) -> Iterator[Table]:
        """The answer to one SQL text, so many rows at a time, with no other query in between. Of a text that orders its
        rows everything is read before the first of them."""
        try:
            batch = self._answered(sql, fetched=lambda result: result.fetchmany(rows))
            while batch.rows:
                yield batch
                batch = Table(batch.columns, tuple(self._connection.fetchmany(rows)))
        except duckdb.Error as error:
            raise InvalidQuery(str(error).strip()) from None

    def append(self, table: ArchiveTable, file: Path) -> None:
        """Add the records of a JSON Lines file in the database's own folder. Raises ``InvalidQuery``."""
        try:
            self._loaded[table.name].append(file)
        except duckdb.Error as error:
            raise InvalidQuery(str(error).strip()) from None
        self._define(self._loaded[table.name])

    def _answered(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fetched: Callable[[duckdb.DuckDBPyConnection], list[Any]] = lambda result: result.fetchall(),
    ) -> Table:
        """The answer, without what turns out to be no Parquet on the way: after a failure every byte is looked at, once."""
        try:
            result = self._connection.execute(sql, parameters)
            names = tuple(column[0] for column in result.description or ())
            return Table(names, tuple(fetched(result)))
        except duckdb.Error as error:
            if self._verified or not is_damage(error):
                raise
        self._verified = True
        for each in self._loaded.values():
            if each.drop_broken():
                self._define(each)
        return self._answered(sql, parameters, fetched)

    def _define(self, loaded: Loaded) -> None:
        """Make the table a view with one row for each key. Only keys that are there twice are made one again in each query:
        they are few, and a window over all vectors is dear."""
        table, copied = loaded.table, f"{loaded.table.name}_copied"
        key = ", ".join(table.key)
        self._view(table.name, loaded.relation())
        copies = f"SELECT {key} FROM {table.name} GROUP BY ALL HAVING count(*) > 1"  # noqa: S608
        self._answered(f"CREATE OR REPLACE TABLE {copied} AS {copies}")
        if not self._answered(f"SELECT 1 FROM {copied} LIMIT 1").rows:  # noqa: S608
            return
        if not {*table.key} <= {*table.columns}:
            self._view(table.name, one_per_key(table, loaded.relation()))
            return
        names = ", ".join(table.columns)
        once = f"SELECT {names} FROM ({loaded.relation()}) ANTI JOIN {copied} USING ({key})"  # noqa: S608
        again = f"SELECT * FROM ({loaded.relation()}) SEMI JOIN {copied} USING ({key})"  # noqa: S608
        self._view(table.name, f"{once} UNION ALL {one_per_key(table, again)}")

    def _view(self, name: str, sql: str) -> None:
        self._connection.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")


class DuckDBEngine:
    """``QueryEngine`` over an archive, in a temporary folder of ``folder`` (the system's own by default).

    Records are looked for up to ``late_hours`` after a span's end. ``slice_ms`` keeps the vectors of a busy endpoint
    within memory.
    """

    slice_ms = HOUR_MS

    def __init__(
        self,
        archive: ArchiveReader,
        folder: Path | None = None,
        *,
        late_hours: int = LATE_HOURS,
        memory_limit: str = MEMORY_LIMIT,
        progress: Steps | None = None,
    ) -> None:
        self._archive = archive
        self._folder = folder
        self._late_ms = late_hours * HOUR_MS
        self._memory_limit = memory_limit
        self._progress = progress

    @contextmanager
    def open(
        self, tables: Sequence[str], span: Span | None = None, *, endpoint: str | None = None
    ) -> Iterator[ArchiveDatabase]:
        """Open tables and views by name; those not named are empty. Raises ``Unavailable``, and ``InvalidQuery`` for a name that is
        no table's."""
        needed = tables_of(tables)
        with (
            tempfile.TemporaryDirectory(prefix="quicksilver-archive-", dir=self._folder) as name,
            self._connected(Path(name)) as connection,
        ):
            folder = Path(name)
            loaded = [Loaded(connection, table, folder) for table in TABLES.values()]
            for each in loaded:
                if each.table in needed:
                    self._read(each, span, endpoint)
            yield ArchiveDatabase(connection, loaded, folder)

    def _read(self, loaded: Loaded, span: Span | None, endpoint: str | None) -> None:
        objects = list(self._archive.objects(loaded.table, span, endpoint=endpoint, late_ms=self._late_ms))
        step, progress = f"reading {loaded.table.name}", self._progress
        loaded.read(self._archive, objects, progress and (lambda done, total: progress(step, done, total)))

    @contextmanager
    def _connected(self, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(folder / "archive.duckdb")) as connection:
            connection.execute("SET autoinstall_known_extensions = false")
            connection.execute("SET autoload_known_extensions = false")
            connection.execute(f"SET memory_limit = '{self._memory_limit}'")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute("SET temp_directory = $folder", {"folder": str(folder / "spill")})
            connection.execute("SET allowed_directories = [$folder]", {"folder": str(folder)})
            connection.execute("SET enable_external_access = false")
            speak_trino(connection)
            connection.execute("SET lock_configuration = true")
            yield connection
