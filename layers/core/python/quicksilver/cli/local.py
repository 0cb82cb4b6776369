"""``quicksilver local``: the local AWS, up, down and how it is."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.table import Column, Table

from quicksilver.cli.output import JsonOption, emit, explains_errors, progress
from quicksilver.local.deployment import Deployment
from quicksilver.local.emulator import Emulator

app = typer.Typer(no_args_is_help=True, help="Run the whole stack on a local AWS, on this machine only.")

PortOption = Annotated[
    int | None, typer.Option(min=1024, max=65535, help="Port on 127.0.0.1.", show_default="4566")
]


@app.command(epilog="Example: quicksilver local up --port 4600")
@explains_errors
def up(port: PortOption = None, as_json: JsonOption = False) -> None:
    """Start the local AWS and deploy stage=local to it; run again, it deploys what has changed."""
    emulator = Emulator(port=port)
    with progress("starting the local AWS") as step:
        emulator.start(step)
        Deployment(emulator).deploy(step)
    _report(emulator, as_json=as_json)


@app.command(epilog="Example: quicksilver local down --json")
@explains_errors
def down(as_json: JsonOption = False) -> None:
    """Stop the local AWS with everything in it, and remove its temporary files."""
    with progress("stopping the local AWS"):
        was_running = Emulator().stop()
    text = "The local AWS is stopped." if was_running else "The local AWS was not running."
    emit({"was_running": was_running}, as_json=as_json, render=lambda: text)


@app.command(epilog="Example: quicksilver local status --json")
@explains_errors
def status(as_json: JsonOption = False) -> None:
    """Tell whether the local AWS is up, where it listens and what is deployed."""
    _report(Emulator(), as_json=as_json)


def _report(emulator: Emulator, *, as_json: bool) -> None:
    status = emulator.status()
    outputs = Deployment(emulator).outputs() if status.running else {}
    data = {**dataclasses.asdict(status), "log": str(status.log), "outputs": outputs}

    def render() -> Table:
        table = Table(Column(overflow="fold"), Column(overflow="fold"), show_header=False, box=None)
        state = "up" if status.healthy else "does not answer" if status.running else "down"
        rows = {"local AWS": state, "url": status.url, "log": str(status.log)}
        if status.running:
            rows |= {"process": str(status.pid), "since": str(status.started_at)}
        for stack, values in outputs.items():
            # What CDK exports for its own references between stacks is nobody's interface.
            rows |= {
                f"{stack} {n}": v
                for n, v in values.items()
                if not n.startswith(("ExportsOutput", "ApiRestEndpoint", "RegistryApiRestEndpoint"))
            }
        for name, value in rows.items():
            table.add_row(name, value)
        return table

    emit(data, as_json=as_json, render=render)
