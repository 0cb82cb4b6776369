"""``quicksilver model``: model packages and model versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from quicksilver.cli.output import JsonOption, emit, explains_errors
from quicksilver.cli.stage import EndpointOption, StageOption, YesOption, confirm, deployed_stage
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.package import check_model
from quicksilver.packing import read_package

app = typer.Typer(no_args_is_help=True, help="Check model packages, register them, list model versions.")

PathArgument = Annotated[Path, typer.Argument(help="The folder of a model package.")]


@app.command(epilog="Example: quicksilver model check build/card-fraud")
@explains_errors
def check(path: PathArgument, as_json: JsonOption = False) -> None:
    """Check a package: checksums, contract, and golden rows through the evaluator the Lambda runs."""
    package = read_package(path)
    check_model(package, LightGBMEvaluator(package.model_text))
    facts = {
        "endpoint": package.manifest.endpoint,
        "package_sha256": package.sha256,
        "fingerprint": package.manifest.fingerprint,
        "features": len(package.contract.features),
        "golden_rows": len(package.golden_rows),
    }
    emit(
        facts,
        as_json=as_json,
        render=lambda: f"The package is sound: {facts['golden_rows']} golden rows are bit-equal.",
    )


@app.command(epilog="Example: quicksilver model register build/card-fraud --endpoint card-fraud")
@explains_errors
def register(
    path: PathArgument,
    endpoint: EndpointOption,
    stage: StageOption = "local",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Register a package: it gets the endpoint's next number, or the one its bytes already have."""
    package = read_package(path)
    deployed = deployed_stage(stage)
    confirm(f"Register package {package.sha256[:12]} for {endpoint} in stage {stage}.", yes=yes)
    model_version = deployed.registry.register(package, endpoint=endpoint, author=deployed.caller())
    data = {"name": model_version.name, **model_version.model_dump(mode="json")}
    emit(data, as_json=as_json, render=lambda: model_version.name)


@app.command(name="list", epilog="Example: quicksilver model list --endpoint card-fraud")
@explains_errors
def list_(endpoint: EndpointOption, stage: StageOption = "local", as_json: JsonOption = False) -> None:
    """List an endpoint's model versions."""
    versions = deployed_stage(stage).registry.model_versions(endpoint)

    def render() -> Table:
        table = Table(
            *(Column(n, overflow="fold") for n in ("model version", "registered at", "author", "package"))
        )
        for version in versions:
            table.add_row(version.name, version.registered_at, version.author, version.package_sha256[:12])
        return table

    emit([version.model_dump(mode="json") for version in versions], as_json=as_json, render=render)
