"""``quicksilver performance``: what labels show of an endpoint's predictions, and what is expected before they do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from quicksilver.aws.system import SystemClock
from quicksilver.cli.archive import Engine, EngineOption
from quicksilver.cli.output import JsonOption, emit, explains_errors, write_page
from quicksilver.cli.stage import EndpointOption, StageOption, YesOption, confirm, deployed_stage
from quicksilver.errors import FieldError, InvalidInput
from quicksilver.instants import epoch_ms, typed_moment

app = typer.Typer(no_args_is_help=True, help="Performance, estimated before labels and realised by them.")


@app.command(epilog="Example: quicksilver performance report --endpoint card-fraud --html performance.html")
@explains_errors
def report(
    endpoint: EndpointOption,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report as one page to this file.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", help="The first prediction's time, ISO-8601; as far back as labels come, without it."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="The end, ISO-8601; the last whole window, without it.")
    ] = None,
    engine: EngineOption = Engine.DUCKDB,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show AUC, KS, Brier score and calibration by week and arm, as labels mature, beside what was estimated."""
    from quicksilver.cli import performance_report as shown

    since_ms, until_ms = _moment("--from", since), _moment("--to", until)
    now_ms = SystemClock().now_ms()
    if since_ms is not None and since_ms >= (now_ms if until_ms is None else until_ms):
        raise InvalidInput(
            "There is nothing to report.", [FieldError("--from", "must be before --to and now")]
        )
    found = shown.read(
        deployed_stage(stage), endpoint, engine, now_ms=now_ms, since_ms=since_ms, until_ms=until_ms
    )
    if html is not None:
        from quicksilver.reports.performance_page import render_performance

        write_page(html, render_performance(found))
    content: dict[str, Any] = {**found.content(), "page": str(html) if html else None}
    emit(content, as_json=as_json, render=lambda: shown.render(found, html))


@app.command(epilog="Example: quicksilver performance run --yes")
@explains_errors
def run(stage: StageOption = "local", yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Judge every endpoint now, as the schedule does each day, and have what follows decided and announced."""
    deployed = deployed_stage(stage)
    confirm(
        f"Judge the performance of every endpoint of stage {stage} now, and announce what is new.", yes=yes
    )
    said = deployed.invoke(deployed.function("performance"), {})

    def render() -> Table:
        table = Table("endpoint", "what came of it")
        for endpoint, text in said.items():
            table.add_row(endpoint, Text(str(text)))
        return table

    emit(said, as_json=as_json, render=render)


def _moment(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return epoch_ms(typed_moment(text))
    except ValueError as error:
        raise InvalidInput("The moment is not valid.", [FieldError(option, str(error))]) from None
