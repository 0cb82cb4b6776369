"""The archive's tables on this machine, for as long as a command needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import typer

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.cli.output import progress_bar
from quicksilver.query import OpenArchive, Span

if TYPE_CHECKING:
    from quicksilver.sql.engine import ArchiveDatabase


@contextmanager
def opened_archive(
    deployed: DeployedStage,
    names: Sequence[str],
    span: Span | None = None,
    *,
    endpoint: str | None = None,
) -> Iterator[ArchiveDatabase]:
    """Tables and views of a stage, of a span of time or whole. What could not be read is said on stderr at the end."""
    from quicksilver.sql.engine import DuckDBEngine

    with ExitStack() as stack:
        with progress_bar("reading the archive") as advance:
            engine = DuckDBEngine(deployed.archive, progress=lambda _, done, total: advance(done, total))
            database = stack.enter_context(engine.open(names, span, endpoint=endpoint))
        yield database
        say_skipped(database)


def say_skipped(archive: OpenArchive) -> None:
    for skipped in archive.skipped:
        typer.echo(f"skipped {skipped.key}: {skipped.reason}", err=True)
