"""SQL over archived prediction records, with DuckDB. Not on the request path; needs the ``duckdb`` package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from quicksilver.archive import prediction_columns
from quicksilver.errors import InvalidQuery


@dataclass(frozen=True, slots=True)
class Table:
    """A query's answer."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def query_predictions(sql: str, file: Path) -> Table:
    """Run one SQL text on the table ``predictions``, read from a JSON Lines file.

    The text can read that file only: DuckDB's access to anything else is shut off first.
    Raises ``InvalidQuery`` with DuckDB's own words.
    """
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in prediction_columns().items())
    with duckdb.connect() as connection:
        connection.execute("SET autoinstall_known_extensions = false")
        try:
            connection.execute(  # the names and types are our own record's, and the path is bound
                f"CREATE TABLE predictions AS SELECT * FROM read_json(?, format = 'newline_delimited', columns = {{{columns}}})",  # noqa: S608
                [str(file)],
            )
            connection.execute("SET enable_external_access = false")
            result = connection.execute(sql)
            names = tuple(column[0] for column in result.description or ())
            return Table(names, tuple(result.fetchall()))
        except duckdb.Error as error:
            raise InvalidQuery(str(error).strip()) from None
