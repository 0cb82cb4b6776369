"""``quicksilver query``: SQL over the archive."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.table import Table as RichTable
from rich.text import Text

from quicksilver.archive_views import names_in
from quicksilver.aws.system import SystemClock
from quicksilver.cli.archive import Engine, EngineOption, opened_by
from quicksilver.cli.output import JsonOption, emit, explains_errors
from quicksilver.cli.stage import StageOption, deployed_stage
from quicksilver.errors import FieldError, InvalidInput
from quicksilver.instants import epoch_ms, typed_moment
from quicksilver.query import Span, Table

EXAMPLE = 'Example: quicksilver query "select model, count(*), avg(score) from predictions group by model"'


@explains_errors
def query(
    sql: Annotated[
        str,
        typer.Argument(
            help="SQL on predictions, features, reasons, degradations, assignments, outcomes, shadow_scores, contracts."
        ),
    ],
    engine: EngineOption = Engine.DUCKDB,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Read this endpoint's part of the archive alone.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Read what may be of this moment or later (ISO-8601).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Read what may be of before this moment.", show_default="now")
    ] = None,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Query the archive with SQL, in Trino's words, which both engines take.

    A prediction that was delivered twice is one row. --endpoint, --from and --to say what is read, which is then quicker and
    may be more than they say: a condition in the SQL says what is asked.
    """
    span = _span(since, until, SystemClock().now_ms())
    with opened_by(engine, deployed_stage(stage), names_in(sql), span, endpoint=endpoint) as archive:
        table = archive.query(sql)
    records = [{name: _json(value) for name, value in record.items()} for record in table.records()]
    emit(records, as_json=as_json, render=lambda: _render(table))


def _span(since: str | None, until: str | None, now_ms: int) -> Span | None:
    if since is None and until is None:
        return None
    start_ms = 0 if since is None else _moment("--from", since)
    end_ms = max(now_ms, start_ms + 1) if until is None else _moment("--to", until)
    if end_ms <= start_ms:
        raise InvalidInput("Nothing is between these moments.", [FieldError("--to", "must be after --from")])
    return Span(start_ms, end_ms)


def _moment(option: str, text: str) -> int:
    try:
        return epoch_ms(typed_moment(text))
    except ValueError as error:
        raise InvalidInput("That is no moment.", [FieldError(option, str(error))]) from None


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such number
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _render(table: Table) -> RichTable:
    shown = RichTable(*table.columns)
    for row in table.rows:
        texts = ("" if v is None else v if isinstance(v, str) else json.dumps(_json(v)) for v in row)
        shown.add_row(*map(Text, texts))
    return shown
