"""``quicksilver invoke``: a saved event straight into a function. QA's way in."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.json import JSON

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.cli.output import JsonOption, emit, explains_errors
from quicksilver.cli.stage import LOCAL, StageOption, YesOption, confirm, deployed_stage
from quicksilver.errors import FieldError, InvalidInput
from quicksilver.local import checkout

EXAMPLE = "Example: quicksilver invoke score --event events/score_card_fraud.json --in-process"


class Function(StrEnum):
    SCORE = "score"
    OUTCOMES = "outcomes"
    REDELIVER = "redeliver"
    ROLLUP = "rollup"
    SHADOW = "shadow"
    ROLLOUT = "rollout"
    PERFORMANCE = "performance"


@explains_errors
def invoke(
    function: Annotated[Function, typer.Argument(help="The function, by its folder under lambdas/.")],
    event: Annotated[Path, typer.Option("--event", help="A JSON file with the event.")],
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run this checkout's handler here, on the stage's data.")
    ] = False,
    stage: StageOption = "local",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Invoke a function with a saved event and show what it returned."""
    content = _read(event)
    if stage != LOCAL:
        confirm(
            f"Invoke {function.value} on stage {stage}: what it does there is real, its records too.", yes=yes
        )
    deployed = deployed_stage(stage)
    name = _physical_name(deployed, function, content)
    result = _run_here(deployed, function, name, content) if in_process else deployed.invoke(name, content)
    shown = {**result, "body": json.loads(result["body"])} if isinstance(result.get("body"), str) else result
    emit(shown, as_json=as_json, render=lambda: JSON.from_data(shown))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise InvalidInput(
            f"The event file cannot be read: {error.strerror}.", [FieldError("--event", str(file))]
        ) from None
    except ValueError as error:
        raise InvalidInput("The event file is not JSON.", [FieldError("--event", str(error))]) from None
    if not isinstance(content, dict):
        raise InvalidInput("The event is not a JSON object.", [FieldError("--event", str(file))])
    return content


def _physical_name(deployed: DeployedStage, function: Function, event: dict[str, Any]) -> str:
    if function is not Function.SCORE:
        return deployed.function(function)
    # Every endpoint has a score function of its own; API Gateway picks it by the path, and so do we.
    parts = str(event.get("path", "")).strip("/").split("/")
    if len(parts) != 3 or parts[0] != "v1" or parts[2] != "score":
        raise InvalidInput(
            "The event names no endpoint.", [FieldError("path", "must be /v1/{endpoint}/score")]
        )
    return deployed.score_function(parts[1])


def _run_here(
    deployed: DeployedStage, function: Function, name: str, event: dict[str, Any]
) -> dict[str, Any]:
    """Run the handler in this process, configured as the deployed function version is."""
    os.environ.update(deployed.environment_of(name))
    os.environ.update(deployed.environment)
    spec = importlib.util.spec_from_file_location("handler", checkout() / "lambdas" / function / "handler.py")
    assert spec is not None  # noqa: S101 - the path ends in .py, so a loader exists
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    # What the handler logs must not mix with the result on stdout.
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        spec.loader.exec_module(module)
        context = SimpleNamespace(
            function_name=name,
            function_version="in-process",
            aws_request_id=str(uuid4()),
            memory_limit_in_mb=0,
        )
        result: dict[str, Any] = module.lambda_handler(event, context)
    finally:
        sys.stdout = stdout
    return result
