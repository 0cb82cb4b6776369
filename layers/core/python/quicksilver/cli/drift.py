"""``quicksilver drift``: what an endpoint's predictions are like now, against what its models were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quicksilver.cli.output import JsonOption, emit, explains_errors, write_page
from quicksilver.cli.stage import EndpointOption, StageOption, deployed_stage
from quicksilver.instants import epoch_ms, typed_moment

app = typer.Typer(no_args_is_help=True, help="Watch predictions for what their models have not learned.")


@app.callback()
def family() -> None:
    """Watch predictions for what their models have not learned."""


def moment_ms(text: str | None) -> int | None:
    """A moment as it is typed, in UTC epoch milliseconds."""
    try:
        return None if text is None else epoch_ms(typed_moment(text))
    except ValueError as reason:
        raise typer.BadParameter(str(reason)) from None


@app.command(epilog="Example: quicksilver drift report --endpoint card-fraud --html drift.html")
@explains_errors
def report(
    endpoint: EndpointOption,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", help="Windows from this moment on, ISO-8601 with its offset.", show_default="the first"
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Windows that end by this moment.", show_default="the last")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as a page, too.")] = None,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show what drift runs have found: when, in what, how far, and what to do next."""
    from quicksilver.cli.drift_report import read_report, render

    since_ms, until_ms = moment_ms(since), moment_ms(until)
    found = read_report(deployed_stage(stage), endpoint, since_ms=since_ms, until_ms=until_ms)
    if html is not None:
        from quicksilver.reports.drift_page import render_drift

        write_page(html, render_drift(found))
    emit(found.model_dump(mode="json"), as_json=as_json, render=lambda: render(found))
