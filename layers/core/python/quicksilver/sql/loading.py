"""Objects of the archive as DuckDB relations: JSON Lines are read once into a table, Parquet stays as it is.

An object that cannot be read is skipped, counted and named; of JSON Lines only the lines that are no records are lost.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb

from quicksilver.archive import PARQUET, ArchiveObject, ArchiveReader, ArchiveTable
from quicksilver.column_types import duckdb_type, misfit
from quicksilver.query import Skipped

BATCH_OBJECTS = 1_000
BATCH_BYTES = 256 << 20
"""What of JSON Lines is on the disk at once."""
READERS = 16

_NO_DAMAGE = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InterruptException,
    duckdb.OutOfMemoryException,
    duckdb.ParserException,
    duckdb.PermissionException,
    duckdb.SyntaxException,
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    path: Path
    endpoint: str | None


class Loaded:
    """One table's records in a database: what was JSON Lines, and the Parquet files that are left in ``folder``."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: ArchiveTable, folder: Path) -> None:
        self.table = table
        self.parquet: list[_File] = []
        self.skipped: list[Skipped] = []
        self._connection = connection
        self._folder = folder
        columns = ", ".join(f'"{name}" {duckdb_type(kind)}' for name, kind in table.columns.items())
        connection.execute(f"CREATE TABLE {self._lines} ({columns})")
        self._types = dict(self._described(f"SELECT * FROM {self._lines}"))  # noqa: S608

    @property
    def _lines(self) -> str:
        return f"{self.table.name}_lines"

    # -- reading objects --

    def read(
        self, archive: ArchiveReader, objects: Sequence[ArchiveObject], progress: Progress | None = None
    ) -> None:
        """Read objects. Raises ``Unavailable`` where one cannot be had."""
        done = 0
        for batch in _batches(objects):
            files = self._copied(archive, batch, done)
            self._take([file for file in files if not file.key.endswith(PARQUET)])
            for file in files:
                if not file.key.endswith(PARQUET):
                    file.path.unlink()
                elif reason := self._unreadable(file):
                    self._skip(file.key, reason)
                else:
                    self.parquet.append(file)
            done += len(batch)
            if progress:
                progress(done, len(objects))

    def _copied(self, archive: ArchiveReader, batch: Sequence[ArchiveObject], first: int) -> list[_File]:
        def copied(place: int, key: str) -> _File:
            suffix = PARQUET if key.endswith(PARQUET) else ".jsonl"
            path = self._folder / f"{self.table.name}-{place:08d}{suffix}"
            archive.copy(key, path)
            return _File(key, path, self.table.endpoint_of(key))

        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(copied, range(first, first + len(batch)), (item.key for item in batch)))

    def _skip(self, key: str, reason: str) -> None:
        self.skipped.append(Skipped(key, reason))

    # -- JSON Lines --

    def append(self, path: Path) -> None:
        """Add the records of a file of ours in JSON Lines. Raises ``duckdb.Error``."""
        self._insert([_File(path.name, path, None)])

    def _take(self, files: Sequence[_File]) -> None:
        for endpoint in sorted({file.endpoint or "" for file in files}):
            mine = [file for file in files if (file.endpoint or "") == endpoint]
            # DuckDB leaves a last line that breaks off without its newline out, and says nothing.
            broken_off = [file for file in mine if not _ends_its_last_line(file.path)]
            whole = [file for file in mine if file not in broken_off]
            if whole and self._damage(lambda: self._insert_joined(whole)):  # noqa: B023 - called here and now
                for file in whole:
                    self._take_one(file)
            for file in broken_off:
                self._take_mended(file)

    def _insert_joined(self, files: Sequence[_File]) -> None:
        """Add the records of many files as those of one: opening a file takes DuckDB longer than reading some lines."""
        if len(files) == 1:
            self._insert(files)
            return
        path = self._folder / f"{self.table.name}-joined.jsonl"
        try:
            with path.open("wb") as target:
                for file in files:
                    with file.path.open("rb") as source:
                        shutil.copyfileobj(source, target)
            self._insert([_File(path.name, path, files[0].endpoint)])
        finally:
            path.unlink()

    def _take_one(self, file: _File) -> None:
        if self._damage(lambda: self._insert([file])):
            self._take_mended(file)

    def _take_mended(self, file: _File) -> None:
        lost, first = self._mend(file)
        damage = self._damage(lambda: self._insert([file]))
        if damage or lost:
            self._skip(file.key, damage or f"{lost:,} lines are no records, the first is {first}")

    def _mend(self, file: _File) -> tuple[int, str]:
        """Leave only records in a file; how many lines were none, and why the first was not."""
        mended, lost, first = file.path.with_suffix(".mended"), 0, ""
        with file.path.open("rb") as source, mended.open("wb") as target:
            for number, line in enumerate(source, 1):
                if reason := self._refused(line):
                    lost, first = lost + 1, first or f"line {number}: {reason}"
                elif line.strip():
                    target.write(line if line.endswith(b"\n") else line + b"\n")
        file.path.unlink()  # it may be a link to what is not ours to change
        mended.rename(file.path)
        return lost, first

    def _refused(self, line: bytes) -> str | None:
        if not line.strip():
            return None
        try:
            record = json.loads(line)
        except ValueError:
            return "no JSON"
        if not isinstance(record, dict):
            return "no object"
        columns = self.table.record_columns
        if absent := [name for name in self._required if record.get(name) is None]:
            return f"without {absent[0]}"
        return next(
            (said for name, kind in columns.items() if (said := misfit(record.get(name), kind, name))), None
        )

    @property
    def _required(self) -> list[str]:
        return [
            name for name in dict.fromkeys((*self.table.key, "time")) if name in self.table.record_columns
        ]

    def _insert(self, files: Sequence[_File]) -> None:
        """Add all records of files of one endpoint, or none: a record without its key is none."""
        columns = ", ".join(
            f"'{name}': '{duckdb_type(kind)}'" for name, kind in self.table.record_columns.items()
        )
        said = ", $endpoint" if self.table.folder_column else ""
        absent = " OR ".join(f'"{name}" IS NULL' for name in self._required)
        parameters = {"files": [str(file.path) for file in files]}
        self._connection.execute(
            f"""
            INSERT INTO {self._lines}
            SELECT *{said} FROM (
                SELECT * FROM read_json($files, format = 'newline_delimited', columns = {{{columns}}})
            ) WHERE CASE WHEN {absent} THEN error('a record without its key') ELSE true END
            """,  # noqa: S608 - our own records' names and types
            parameters | ({"endpoint": files[0].endpoint} if said else {}),
        )

    # -- Parquet --

    def _unreadable(self, file: _File) -> str | None:
        """Why a Parquet file is none, or not of this table, by its footer."""
        found: dict[str, str] = {}
        damage = self._damage(lambda: found.update(self._described(self.relation([file]))))
        return damage or next(
            (f"{name} is no {kind}" for name, kind in self._types.items() if found[name] != kind), None
        )

    def drop_broken(self) -> bool:
        """Read every Parquet file whole and leave out those that cannot be; says whether there were any."""
        broken = {file.key: reason for file in self.parquet if (reason := self._broken(file))}
        for key, reason in broken.items():
            self._skip(key, reason)
        self.parquet = [file for file in self.parquet if file.key not in broken]
        return bool(broken)

    def _broken(self, file: _File) -> str | None:
        sql = f"SELECT bit_xor(hash(t)) FROM ({self.relation([file])}) t"  # noqa: S608
        return self._damage(lambda: self._connection.execute(sql).fetchall())

    def _damage(self, action: Callable[[], object]) -> str | None:
        """What is wrong with the objects that an action reads; ``None`` where it is done."""
        try:
            action()
        except duckdb.Error as error:
            if not is_damage(error):
                raise
            return str(error).strip().partition("\n")[0].replace(f"{self._folder}/", "")
        return None

    # -- as SQL --

    def relation(self, parquet: Sequence[_File] | None = None) -> str:
        """SQL for all records, or those of some Parquet files alone."""
        files = self.parquet if parquet is None else parquet
        names = ", ".join(f'"{name}"' for name in self.table.columns)
        only = "" if parquet is None else " WHERE false"
        lines = f"SELECT * FROM {self._lines}{only}"  # noqa: S608
        if not files:
            return lines
        paths = ", ".join("'" + str(file.path).replace("'", "''") + "'" for file in files)
        return (
            f"SELECT {names} FROM ({lines} UNION ALL BY NAME "  # noqa: S608
            f"SELECT * FROM read_parquet([{paths}], union_by_name = true))"
        )

    def _described(self, sql: str) -> Iterator[tuple[str, str]]:
        for name, kind, *_ in self._connection.execute(f"DESCRIBE {sql}").fetchall():
            yield name, kind


def _ends_its_last_line(path: Path) -> bool:
    with path.open("rb") as file:
        return not file.seek(0, os.SEEK_END) or (file.seek(-1, os.SEEK_END), file.read(1))[1] == b"\n"


def _batches(objects: Iterable[ArchiveObject]) -> Iterator[list[ArchiveObject]]:
    batch: list[ArchiveObject] = []
    size = 0
    for item in objects:
        if batch and (len(batch) == BATCH_OBJECTS or size + item.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.size
    if batch:
        yield batch


def is_damage(error: duckdb.Error) -> bool:
    """Whether an error may be the fault of what was read; the others are of a text, or of too little memory."""
    return not isinstance(error, _NO_DAMAGE)
