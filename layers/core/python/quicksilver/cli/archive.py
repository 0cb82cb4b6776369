"""The archive's tables, for as long as a command needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.cli.output import progress_bar
from quicksilver.errors import FieldError, InvalidInput
from quicksilver.query import OpenArchive, Span

if TYPE_CHECKING:
    from quicksilver.sql.engine import ArchiveDatabase


class Engine(StrEnum):
    """What answers SQL over the archive."""

    DUCKDB = "duckdb"  # on this machine, from a copy of what is needed
    ATHENA = "athena"


EngineOption = Annotated[
    Engine,
    typer.Option("--engine", help="What answers: duckdb on this machine, or athena where the data is."),
]


@contextmanager
def opened_archive(
    deployed: DeployedStage,
    names: Sequence[str],
    span: Span | None = None,
    *,
    endpoint: str | None = None,
) -> Iterator[ArchiveDatabase]:
    """Tables and views of a stage, of a span of time or whole, on this machine. What could not be read is said on stderr at
    the end."""
    from quicksilver.sql.engine import DuckDBEngine

    with ExitStack() as stack:
        with progress_bar("reading the archive") as advance:
            engine = DuckDBEngine(deployed.archive, progress=lambda _, done, total: advance(done, total))
            database = stack.enter_context(engine.open(names, span, endpoint=endpoint))
        yield database
        say_skipped(database)


@contextmanager
def opened_by(
    engine: Engine,
    deployed: DeployedStage,
    names: Sequence[str],
    span: Span | None = None,
    *,
    endpoint: str | None = None,
) -> Iterator[OpenArchive]:
    """The same by the engine that a person has chosen."""
    if engine is Engine.DUCKDB:
        with opened_archive(deployed, names, span, endpoint=endpoint) as database:
            yield database
        return
    if deployed.endpoint_url:
        raise InvalidInput(
            f"The stage {deployed.stage} has no Athena that finds its archive: an emulator projects no partitions.",
            [FieldError("--engine", "must be duckdb there")],
        )
    with deployed.athena.open(names, span, endpoint=endpoint) as archive:
        yield archive
        say_skipped(archive)


def say_skipped(archive: OpenArchive) -> None:
    """Name the objects that could not be read, on stderr."""
    for skipped in archive.skipped:
        typer.echo(f"skipped {skipped.key}: {skipped.reason}", err=True)
