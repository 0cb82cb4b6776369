"""The query port on Athena: for windows that outgrow one machine.

Each text is preceded by definitions of the tables it may read, with the partitions of its span and endpoint alone, so that
nothing else is scanned. Values are those that DuckDB gives. Athena answers in texts, so a value that is made of others is
refused, but for lists of numbers: take it apart in SQL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.archive import HOUR_MS, LATE_HOURS, PREDICTIONS, ArchiveTable
from quicksilver.archive_catalog import records, with_tables
from quicksilver.archive_views import VIEWS, one_per_key, tables_of
from quicksilver.errors import InvalidQuery, Unavailable
from quicksilver.ports import Clock
from quicksilver.query import Skipped, Span, Table

PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.5
MOST_SKIPPED = 20
"""Objects that one opening leaves out before it gives up: each of them is a query again."""

_SYSTEM_ERROR = 1
"""``ErrorCategory`` of what is Athena's own fault (API reference, ``AthenaError``)."""
_DAMAGED = re.compile(r"HIVE_(?:BAD_DATA|CANNOT_OPEN_SPLIT|CURSOR_ERROR)\b.*?(s3://[^\s,;)]+)", re.DOTALL)


class AthenaEngine:
    """``QueryEngine`` over a stage's catalog. ``pause(seconds)`` waits between looks at a query; one that takes longer than
    ``patience_seconds`` is cancelled."""

    slice_ms = None

    def __init__(
        self,
        client: Any,
        *,
        workgroup: str,
        database: str,
        clock: Clock,
        pause: Callable[[float], None],
        patience_seconds: float = PATIENCE_SECONDS,
        late_hours: int = LATE_HOURS,
    ) -> None:
        self._client = client
        self._workgroup = workgroup
        self._database = database
        self._clock = clock
        self._pause = pause
        self._patience_us = round(patience_seconds * 1_000_000)
        self._late_ms = late_hours * HOUR_MS

    @contextmanager
    def open(
        self, tables: Sequence[str], span: Span | None = None, *, endpoint: str | None = None
    ) -> Iterator[AthenaArchive]:
        """Open tables and views by name. Raises ``InvalidQuery`` for a name that is neither."""
        needed = tables_of(tables)

        def defined(sql: str, without: Sequence[str]) -> str:
            relations = {
                table.name: one_per_key(table, self._records(table, span, endpoint, without))
                for table in needed
            }
            return with_tables(sql, relations, [VIEWS[name] for name in tables if name in VIEWS])

        yield AthenaArchive(self._pages, defined)

    def _records(
        self, table: ArchiveTable, span: Span | None, endpoint: str | None, without: Sequence[str]
    ) -> str:
        return records(
            table,
            span,
            parquet=table is PREDICTIONS,
            endpoint=endpoint,
            late_ms=self._late_ms,
            without=[path for path in without if f"/{table.prefix}" in path],
        )

    def _pages(self, sql: str) -> Iterator[Table]:
        """Run a text, and give its answer a page at a time; there is one page at least."""
        try:
            query = self._client.start_query_execution(
                QueryString=sql,
                QueryExecutionContext={"Database": self._database},
                WorkGroup=self._workgroup,
            )["QueryExecutionId"]
            self._wait_for(query)
            yield from self._answer(query)
        except ClientError as error:
            code, message = (error.response["Error"].get(name, "") for name in ("Code", "Message"))
            if code == "InvalidRequestException":
                raise InvalidQuery(message) from None
            raise Unavailable(f"Athena refuses: {code}.") from error
        except BotoCoreError as error:
            raise Unavailable(f"Athena cannot be reached: {type(error).__name__}.") from error

    def _wait_for(self, query: str) -> None:
        started = self._clock.monotonic_us()
        while True:
            status = self._client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
            if status["State"] == "SUCCEEDED":
                return
            if status["State"] in ("FAILED", "CANCELLED"):
                reason = status.get("StateChangeReason") or f"the query was {status['State'].lower()}"
                if status.get("AthenaError", {}).get("ErrorCategory") == _SYSTEM_ERROR:
                    raise Unavailable(f"Athena failed: {reason}")
                raise InvalidQuery(reason)
            if self._clock.monotonic_us() - started > self._patience_us:
                self._client.stop_query_execution(QueryExecutionId=query)
                raise Unavailable(f"Athena did not answer within {self._patience_us // 1_000_000} s.")
            self._pause(POLL_SECONDS)

    def _answer(self, query: str) -> Iterator[Table]:
        names: tuple[str, ...] | None = None
        kinds: list[str] = []
        for page in self._client.get_paginator("get_query_results").paginate(QueryExecutionId=query):
            found = [
                [datum.get("VarCharValue") for datum in row["Data"]] for row in page["ResultSet"]["Rows"]
            ]
            if names is None:
                columns = page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
                names, kinds = tuple(item["Name"] for item in columns), [item["Type"] for item in columns]
                found = found[1:]  # the first row of the first page are the names
            rows = [
                tuple(value_of(text, kind, name) for text, kind, name in zip(row, kinds, names, strict=True))
                for row in found
            ]
            yield Table(names, tuple(rows))


class AthenaArchive:
    """The archive, open in Athena."""

    def __init__(
        self, pages: Callable[[str], Iterator[Table]], defined: Callable[[str, Sequence[str]], str]
    ) -> None:
        self._pages = pages
        self._defined = defined
        self._without: list[str] = []
        self.skipped: list[Skipped] = []
        """Objects that a query found damaged. A line of JSON that is none is lost without a word: Athena does not tell."""

    def query(self, sql: str) -> Table:
        pages = list(self._whole(sql))
        return Table(pages[0].columns, tuple(row for page in pages for row in page.rows))

    def batches(self, sql: str, rows: int) -> Iterator[Table]:
        held: list[tuple[Any, ...]] = []
        for page in self._whole(sql):
            held += page.rows
            while len(held) >= rows:
                yield Table(page.columns, tuple(held[:rows]))
                del held[:rows]
        if held:
            yield Table(page.columns, tuple(held))

    def _whole(self, sql: str) -> Iterator[Table]:
        """The answer's pages, asked for again without each object that is found damaged. A query fails before its first page."""
        while True:
            try:
                yield from self._pages(self._defined(sql, self._without))
                return
            except (InvalidQuery, Unavailable) as error:
                damaged = _DAMAGED.search(str(error))
                if not damaged or damaged[1] in self._without or len(self._without) == MOST_SKIPPED:
                    raise
                path = damaged[1]
                self._without.append(path)
                key = path.removeprefix("s3://").partition("/")[2]
                self.skipped.append(Skipped(key, str(error).partition("\n")[0]))


def value_of(text: str | None, kind: str, name: str) -> Any:
    """A value out of Athena's text for it, as DuckDB gives it. Raises ``InvalidQuery`` for a type that has no one text."""
    if text is None:
        return None
    kind = kind.lower().partition("(")[0]
    if read := _READ.get(kind):
        return read(text)
    if kind == "array":
        try:
            return [None if item == "null" else _number(item) for item in _items(text)]
        except ValueError:
            pass
    raise InvalidQuery(f"{name} is {kind}, which Athena gives as text only: take it apart in SQL.")


def _items(text: str) -> list[str]:
    inner = text.strip()[1:-1].strip()
    return [item.strip() for item in inner.split(",")] if inner else []


def _number(text: str) -> int | float | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return float(text)


def _with_zone(text: str) -> datetime:
    moment, _, zone = text.rpartition(" ")
    if zone != "UTC":
        raise InvalidQuery(f"{text} is in a time zone of its own: say it AT TIME ZONE 'UTC'.")
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


_READ: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "int", "bigint"), int),
    **dict.fromkeys(("float", "real", "double"), float),
    **dict.fromkeys(("varchar", "char", "string", "json"), str),
    "boolean": lambda text: bool(json.loads(text)),
    "date": date.fromisoformat,
    "decimal": Decimal,
    "timestamp": datetime.fromisoformat,
    "timestamp with time zone": _with_zone,
}
