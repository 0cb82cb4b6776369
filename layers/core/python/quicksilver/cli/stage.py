"""Which deployed stage a command talks to."""

from __future__ import annotations

from typing import Annotated

import typer

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.errors import Unavailable
from quicksilver.local import deployment
from quicksilver.local.emulator import Emulator

LOCAL = deployment.STAGE

StageOption = Annotated[str, typer.Option("--stage", help="The deployed stage to talk to.")]
EndpointOption = Annotated[str, typer.Option("--endpoint", help="The endpoint, for example card-fraud.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def deployed_stage(stage: str) -> DeployedStage:
    """The stage, reachable. Raises ``Unavailable`` where the local AWS is down, saying how to start it."""
    if stage != LOCAL:
        return DeployedStage(stage)
    emulator = Emulator()
    if not emulator.status().running:
        error = Unavailable("The local AWS is not running.")
        error.add_note("Start it and deploy to it with: quicksilver local up")
        raise error
    return DeployedStage(stage, emulator.aws_environment)


def confirm(plan: str, *, yes: bool) -> None:
    """Show what is about to change and ask, unless told not to. A refusal ends the command."""
    typer.echo(plan, err=True)
    if not yes:
        typer.confirm("Go on?", abort=True, err=True)
