"""The archive's tables as files on this machine, for as long as a command needs them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quicksilver.archive import ArchiveTable
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.cli.output import progress_bar


@contextmanager
def copied_archive(deployed: DeployedStage, *tables: tuple[ArchiveTable, int | None]) -> Iterator[Path]:
    """A temporary folder with each of the tables, from its moment on (UTC epoch ms) or whole, as ``sql`` reads them."""
    archive = deployed.archive
    with tempfile.TemporaryDirectory(prefix="quicksilver-archive-") as name:
        folder = Path(name)
        for table, since_ms in tables:
            with (
                progress_bar(f"reading {table.name}") as advance,
                (folder / f"{table.name}.jsonl").open("wb") as target,
            ):
                archive.copy_to(table, target, advance, since_ms=since_ms)
        yield folder
