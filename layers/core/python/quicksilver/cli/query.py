"""``quicksilver query``: SQL over the archive."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.table import Table as RichTable
from rich.text import Text

from quicksilver.archive_views import names_in
from quicksilver.cli.archive import opened_archive
from quicksilver.cli.output import JsonOption, emit, explains_errors
from quicksilver.cli.stage import StageOption, deployed_stage
from quicksilver.query import Table

EXAMPLE = 'Example: quicksilver query "select model, count(*), avg(score) from predictions group by model"'


@explains_errors
def query(
    sql: Annotated[
        str, typer.Argument(help="SQL on the tables `predictions`, `shadow_scores` and `outcomes`.")
    ],
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Query the archive with SQL (DuckDB's dialect).

    A prediction that was delivered twice is one row.
    """
    with opened_archive(deployed_stage(stage), names_in(sql)) as database:
        table = database.query(sql)
    records = [{name: _json(value) for name, value in record.items()} for record in table.records()]
    emit(records, as_json=as_json, render=lambda: _render(table))


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _render(table: Table) -> RichTable:
    shown = RichTable(*table.columns)
    for row in table.rows:
        texts = ("" if v is None else v if isinstance(v, str) else json.dumps(_json(v)) for v in row)
        shown.add_row(*map(Text, texts))
    return shown
