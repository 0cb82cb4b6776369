"""``quicksilver``: the command line as a whole."""

from __future__ import annotations

import typer

from quicksilver.cli import (
    cost,
    doctor,
    drift,
    experiment,
    invoke,
    local,
    model,
    outcomes,
    performance,
    query,
    registry,
    retrain,
    rollout,
    rollup,
    route,
    score,
    shadow,
)

app = typer.Typer(
    name="quicksilver",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Real-time risk scoring on AWS Lambda.",
)
app.command(epilog=score.EXAMPLE)(score.score)
app.command(epilog=invoke.EXAMPLE)(invoke.invoke)
app.command(epilog=query.EXAMPLE)(query.query)
app.command(epilog=doctor.EXAMPLE)(doctor.doctor)
app.add_typer(model.app, name="model")
app.add_typer(route.app, name="route")
app.add_typer(shadow.app, name="shadow")
app.add_typer(rollout.app, name="rollout")
app.add_typer(experiment.app, name="experiment")
app.add_typer(drift.app, name="drift")
app.add_typer(outcomes.app, name="outcomes")
app.add_typer(performance.app, name="performance")
app.add_typer(retrain.app, name="retrain")
app.add_typer(registry.app, name="registry")
app.add_typer(rollup.app, name="rollup")
app.add_typer(cost.app, name="cost")
app.add_typer(local.app, name="local")


def main() -> None:
    app()
