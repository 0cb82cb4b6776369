"""``quicksilver outcomes``: what became of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from quicksilver.aws.system import SystemClock
from quicksilver.cli.output import JsonOption, emit, explains_errors, progress_bar
from quicksilver.cli.stage import (
    EndpointOption,
    PersonOption,
    StageOption,
    YesOption,
    confirm,
    deployed_stage,
)
from quicksilver.errors import InvalidData
from quicksilver.outcome_files import read_outcomes
from quicksilver.outcomes import keep_outcomes

app = typer.Typer(no_args_is_help=True, help="Load the outcomes of predictions.")


@app.callback()
def family() -> None:
    """Load the outcomes of predictions."""


@app.command(epilog="Example: quicksilver outcomes load labels.csv --endpoint card-fraud")
@explains_errors
def load(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with a header, or JSON Lines: prediction_id or entity_id and event_time, label, time; "
            "amount, groups (in CSV group.<name>)."
        ),
    ],
    endpoint: EndpointOption,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put outcomes into the archive, all of a file or none.

    A label is true (or 1) for a bad outcome and false (or 0) for a good one; amounts are whole minor units; times name
    their offset. Loading a file again changes nothing, and a later label of a prediction replaces an earlier one.
    """
    outcomes = read_outcomes(file, now_ms=SystemClock().now_ms())
    if not outcomes:
        raise InvalidData(f"{file} has no outcome.")
    bad = sum(outcome.label for outcome in outcomes)
    deployed = deployed_stage(stage, person)
    deployed.policy(endpoint)  # outcomes of an endpoint that the stage does not have would never be read
    confirm(f"Load {len(outcomes):,} outcomes of {endpoint} in stage {stage}, {bad:,} of them bad.", yes=yes)
    with progress_bar("loading outcomes") as advance:
        keep_outcomes(deployed.outcomes, endpoint, outcomes, advance)
    result = {"endpoint": endpoint, "outcomes": len(outcomes), "bad": bad}
    emit(
        result,
        as_json=as_json,
        render=lambda: Text(
            f"{len(outcomes):,} outcomes of {endpoint} are in the archive, {bad:,} of them bad."
        ),
    )
