"""One query port over the archive: the same SQL text on DuckDB (``sql``) and on Athena (``aws.athena``).

SQL is written for both, in Trino's words; what DuckDB calls otherwise is a macro of its engine (``sql.dialect``). Both take
the very same text of: ``count_if``, ``element_at`` of lists and maps, ``cardinality``, ``width_bucket(x, array[...])``,
``sequence``, ``is_nan``, ``to_unixtime``, ``day_of_week``, ``regexp_like``, ``approx_percentile`` and ``approx_distinct`` (near,
not equal), ``cross join unnest(list) with ordinality as v (value, position)``, members by a dot, ``filter (where ...)``, grouping
sets and window functions. Integers divide to integers. Not the same, so not to be used: functions of a function
(``any_match``), unnested lists of members (``archive_views`` has them as rows), and ``date_diff`` in other units than
milliseconds, of which DuckDB counts the boundaries and Trino the whole ones.

Text is made by us and carries its values as literals, which ``timestamp`` and ``text`` write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open span of time, [start, end), in UTC epoch milliseconds."""

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError("a span must end after it starts")

    def slices(self, longest_ms: int | None) -> Iterator[Span]:
        """The span cut at multiples of ``longest_ms``, in order; whole for None."""
        if longest_ms is None:
            yield self
            return
        start = self.start_ms
        while start < self.end_ms:
            end = min((start // longest_ms + 1) * longest_ms, self.end_ms)
            yield Span(start, end)
            start = end


@dataclass(frozen=True, slots=True)
class Table:
    """A query's answer."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Skipped:
    """An object of the archive that could not be read, and why."""

    key: str
    reason: str


class OpenArchive(Protocol):
    """The archive's tables (``archive.TABLES`` and the views on them), open for queries."""

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Objects that could not be read so far: what they hold is in no answer."""
        ...

    def query(self, sql: str) -> Table:
        """Run one SQL text. Raises ``InvalidQuery`` with the engine's own words, and ``Unavailable``."""
        ...

    def batches(self, sql: str, rows: int) -> Iterator[Table]:
        """The answer to one SQL text in its order, so many rows at a time, for answers that memory does not hold. Raises
        as ``query`` does."""
        ...


class QueryEngine(Protocol):
    """SQL over the archive. ``slice_ms`` is the longest span of records that one query over all columns should be asked
    for, so that memory is bounded whatever the window; None where the engine takes any."""

    @property
    def slice_ms(self) -> int | None: ...

    def open(
        self, tables: Sequence[str], span: Span | None = None, *, endpoint: str | None = None
    ) -> AbstractContextManager[OpenArchive]:
        """Open these tables by name. With ``span`` they have at least the predictions of that span, and whatever came of
        them later; SQL has to say so all the same, as there may be more. Raises ``Unavailable``."""
        ...


def timestamp(epoch_ms: int) -> str:
    """A moment as a SQL literal: ``TIMESTAMP '2026-11-23 07:16:00.000'``, UTC as the archive's are."""
    moment = datetime.fromtimestamp(epoch_ms / 1_000, UTC)
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}.{epoch_ms % 1_000:03d}'"


def text(value: str) -> str:
    """A string as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"
