"""``quicksilver model``: from a trained model to an approved model version."""

from __future__ import annotations

import typer

from quicksilver.cli import model_gate, model_package, model_registry

app = typer.Typer(
    no_args_is_help=True, help="Model packages and model versions: pack, check, gate, register, approve."
)
for name, command, example in (*model_package.EXAMPLES, *model_gate.EXAMPLES, *model_registry.EXAMPLES):
    app.command(name=name, epilog=f"Example: {example}")(command)
