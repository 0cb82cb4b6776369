"""Archives in a folder, as tests fill and open them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quicksilver.archive import TABLES, ArchiveObject, ArchiveTable
from quicksilver.archive_folder import FolderArchive
from quicksilver.errors import Unavailable
from quicksilver.query import Span, Table
from quicksilver.sql.engine import ArchiveDatabase, DuckDBEngine

HOUR = "2025/10/09/08"


def archived(
    folder: Path,
    table: str,
    content: bytes,
    *,
    endpoint: str = "card-fraud",
    hour: str = HOUR,
    name: str = "a.jsonl",
) -> Path:
    """Put an object into an archive, in the place of the one of its name."""
    path = folder / TABLES[table].folder(endpoint) / hour / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class LinesArchive:
    """A reader of an archive whose tables are lines, by name, whatever the time; it remembers what was asked for."""

    def __init__(self, **lines: Sequence[bytes | str | dict[str, Any]]) -> None:
        self.lines: dict[str, Sequence[bytes | str | dict[str, Any]]] = dict(lines)
        self.spans: list[Span | None] = []
        self.available = True

    def objects(
        self, table: ArchiveTable, span: Span | None = None, *, endpoint: str | None = None, late_ms: int
    ) -> list[ArchiveObject]:
        if not self.available:
            raise Unavailable("The archive cannot be read: SlowDown.")
        self.spans.append(span)
        key = f"{table.folder(endpoint or 'card-fraud')}{HOUR}/{table.name}"
        return [ArchiveObject(key, 1)] if table.name in self.lines else []

    def copy(self, key: str, file: Path) -> None:
        file.write_bytes(b"".join(_line(line) for line in self.lines[key.rsplit("/", 1)[-1]]))


def _line(line: bytes | str | dict[str, Any]) -> bytes:
    text = json.dumps(line) if isinstance(line, dict) else line
    return (text.encode() if isinstance(text, str) else text).rstrip(b"\n") + b"\n"


@contextmanager
def archive_database(
    folder: Path,
    tables: Sequence[str] = tuple(TABLES),
    span: Span | None = None,
    *,
    endpoint: str | None = None,
    late_hours: int = 48,
) -> Iterator[ArchiveDatabase]:
    """An archive's tables, open."""
    engine = DuckDBEngine(FolderArchive(folder), late_hours=late_hours)
    with engine.open(tables, span, endpoint=endpoint) as database:
        yield database


def query_archive(sql: str, folder: Path) -> Table:
    with archive_database(folder) as database:
        return database.query(sql)
