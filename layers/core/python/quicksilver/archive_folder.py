"""The archive as a folder of this machine, with the layout of the bucket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from quicksilver.archive import ArchiveObject, ArchiveTable, hours
from quicksilver.query import Span


class FolderArchive:
    """The files under ``root``. Nothing may change them while they are open."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def objects(
        self, table: ArchiveTable, span: Span | None = None, *, endpoint: str | None = None, late_ms: int
    ) -> Iterator[ArchiveObject]:
        for folder in self._folders(table, endpoint):
            first, last = hours(table, span, late_ms)
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                hour = path.relative_to(folder).as_posix()
                if hour >= first and (last is None or hour[: len(last)] <= last):
                    yield ArchiveObject(path.relative_to(self._root).as_posix(), path.stat().st_size)

    def _folders(self, table: ArchiveTable, endpoint: str | None) -> list[Path]:
        if endpoint is not None or not table.by_endpoint:
            return [self._root / table.folder(endpoint or "")]
        return sorted(path for path in (self._root / table.prefix).glob("*") if path.is_dir())

    def copy(self, key: str, file: Path) -> None:
        """A link where the file system has one: what is large stays where it is."""
        try:
            file.hardlink_to(self._root / key)
        except OSError:
            shutil.copyfile(self._root / key, file)
