"""``quicksilver drift``: what an endpoint's predictions are like now, against what its models were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quicksilver.cli.archive import Engine, EngineOption
from quicksilver.cli.output import JsonOption, emit, explains_errors, progress, write_page
from quicksilver.cli.stage import EndpointOption, StageOption, YesOption, confirm, deployed_stage
from quicksilver.instants import epoch_ms, typed_moment

app = typer.Typer(no_args_is_help=True, help="Watch predictions for what their models have not learned.")


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


@app.command(epilog="Example: quicksilver drift run --endpoint card-fraud --window 24h")
@explains_errors
def run(
    endpoint: EndpointOption,
    window: Annotated[
        str | None,
        typer.Option(
            "--window", help="Judge the last whole window of this length, 24h or 7d, and keep nothing."
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="With --window: keep its document and its page.")
    ] = False,
    engine: EngineOption = Engine.DUCKDB,
    stage: StageOption = "local",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge the windows that are due, as the schedule does each hour, with what follows; or one window to look at."""
    from quicksilver.cli import drift_run as running
    from quicksilver.drift.windows import last_whole_window

    length_ms = None if window is None else running.window_ms(window)
    deployed = deployed_stage(stage)
    judge = running.window_judge(deployed, endpoint, engine, length_ms=length_ms)
    if length_ms is None:
        confirm(
            f"Judge what is due of {endpoint} in stage {stage}, keep it and announce what is new.", yes=yes
        )
        with progress("judging windows"):
            said = running.run_of(judge, deployed).run()
        emit(said, as_json=as_json, render=lambda: f"{endpoint}: {said[endpoint]}")
        return
    last = last_whole_window(length_ms, judge.clock.now_ms())
    if keep:
        confirm(f"Judge the window {last.name} of {endpoint} in stage {stage} and keep it.", yes=yes)
    with progress(f"judging {window} of {endpoint}"):
        kept = judge.kept(last.name) if keep else None
        judged = judge.judged(last, revision=kept.revision + 1 if kept else 1)
        if keep:
            running.run_of(judge, deployed).keep(judge, judged)
    content = judged.result.model_dump(mode="json")
    emit(content, as_json=as_json, render=lambda: running.render_window(judged))


@app.command(
    epilog="Example: quicksilver drift backtest --endpoint card-fraud --from 2026-11-01T00:00Z --to 2026-11-20T00:00Z"
)
@explains_errors
def backtest(
    endpoint: EndpointOption,
    since: Annotated[str, typer.Option("--from", help="The first window starts here or later, ISO-8601.")],
    until: Annotated[str, typer.Option("--to", help="The last window ends here or before, ISO-8601.")],
    engine: EngineOption = Engine.DUCKDB,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show what would have alarmed, and when, by the policy as it is deployed. It changes nothing."""
    from quicksilver.cli import drift_run as running
    from quicksilver.drift.windows import require_over

    start_ms, end_ms = moment_ms(since) or 0, moment_ms(until) or 0
    judge = running.window_judge(deployed_stage(stage), endpoint, engine)
    windows = running.backtest_windows(judge.policy, start_ms, end_ms)
    require_over(windows[-1], judge.clock.now_ms())
    results = []
    with progress("judging windows") as step:
        for number, judged in enumerate(judge.backtest(windows), 1):
            step(f"judged {number} of {len(windows)} windows")
            results.append(judged.result)
    content = [result.model_dump(mode="json") for result in results]
    emit(content, as_json=as_json, render=lambda: running.render_windows(results))
