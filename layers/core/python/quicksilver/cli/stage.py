"""Which deployed stage a command talks to, and as whom."""

from __future__ import annotations

import os
import re
import ssl
from typing import Annotated

import typer

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.contract import ENDPOINT_NAME_PATTERN
from quicksilver.errors import FieldError, InvalidInput, Unavailable
from quicksilver.local import deployment
from quicksilver.local.emulator import Emulator

LOCAL = deployment.STAGE
CLIENT_CERTIFICATE = "QUICKSILVER_CLIENT_CERTIFICATE"

StageOption = Annotated[str, typer.Option("--stage", help="The deployed stage to talk to.")]


def _endpoint(name: str) -> str:
    if not re.fullmatch(ENDPOINT_NAME_PATTERN, name):
        raise typer.BadParameter(f"{name!r} is no name of an endpoint, such as card-fraud")
    return name


EndpointOption = Annotated[
    str,
    typer.Option("--endpoint", help="The endpoint, for example card-fraud.", callback=_endpoint),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history for ever.")]
PersonOption = Annotated[
    str | None,
    typer.Option(
        "--as", help="In the local stage: as ada (data scientist) or grace (approver).", show_default="ada"
    ),
]


def deployed_stage(stage: str, person: str | None = None) -> DeployedStage:
    """The stage, reachable, as a person of the local stage or as whoever our AWS credentials are.

    Raises ``Unavailable`` where the local AWS is down, saying how to start it.
    """
    if stage != LOCAL:
        if person is not None:
            raise InvalidInput(
                "On AWS you are who your credentials are.",
                [FieldError("--as", "is for the local stage only")],
            )
        return DeployedStage(stage, client_certificate=_client_certificate())
    emulator = Emulator()
    if not emulator.status().running:
        error = Unavailable("The local AWS is not running.")
        error.add_note("Start it and deploy to it with: quicksilver local up")
        raise error
    return DeployedStage(stage, deployment.Deployment(emulator).environment_of(person or "ada"))


def _client_certificate() -> str | None:
    """The certificate to show to an API that asks for one (mutual TLS). Raises ``InvalidInput`` for a file that is none."""
    path = os.environ.get(CLIENT_CERTIFICATE)
    if not path:
        return None
    try:
        ssl.create_default_context().load_cert_chain(path, password=lambda: b"")
    except (OSError, ValueError):
        reason = "names no PEM file with a certificate and its key, without a password"
        raise InvalidInput(
            "There is no client certificate to show.", [FieldError(CLIENT_CERTIFICATE, reason)]
        ) from None
    return path


def confirm(plan: str, *, yes: bool) -> None:
    """Show what is about to change and ask, unless told not to. A refusal ends the command."""
    typer.echo(plan, err=True)
    if not yes:
        typer.confirm("Go on?", abort=True, err=True)
