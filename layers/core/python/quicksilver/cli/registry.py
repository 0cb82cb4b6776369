"""``quicksilver registry``: what auditors ask."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.cli.model_registry import facts
from quicksilver.cli.output import JsonOption, emit, explains_errors, fail, progress
from quicksilver.cli.route import route_view
from quicksilver.cli.stage import EndpointOption, StageOption, deployed_stage
from quicksilver.model_version import who

app = typer.Typer(
    no_args_is_help=True, help="What was decided, by whom and when, and whether it still holds."
)


@app.command(epilog="Example: quicksilver registry history --endpoint card-fraud")
@explains_errors
def history(endpoint: EndpointOption, stage: StageOption = "local", as_json: JsonOption = False) -> None:
    """Show every change of the endpoint's registry: who, when, why, on which evidence."""
    entries = list(deployed_stage(stage).registry.history(endpoint))

    def render() -> Table:
        table = Table(*(Column(n, overflow="fold") for n in ("", "when", "who", "what", "why")))
        for entry in entries:
            what = f"{entry.action.value.replace('_', ' ')} {entry.subject}"
            if evidence := entry.details.get("evidence_sha256"):
                what += f" (evidence {evidence[:12]})"
            cells = (str(entry.number), entry.at, who(entry.who), what, entry.reason)
            table.add_row(*map(Text, cells))  # people's words, in which a "[" is no markup
        return table

    content = [{**entry.model_dump(mode="json"), "sha256": entry.sha256} for entry in entries]
    emit(content, as_json=as_json, render=render)


@app.command(epilog="Example: quicksilver registry at --endpoint card-fraud --time 2026-11-23T08:00:00Z")
@explains_errors
def at(
    endpoint: EndpointOption,
    time: Annotated[str, typer.Option("--time", help="A moment, ISO-8601 with its offset.")],
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show which model versions answered at a moment, with their shares."""
    route = deployed_stage(stage).registry.route_at(endpoint, time)
    emit(route.model_dump(mode="json"), as_json=as_json, render=lambda: route_view(route))


@app.command(epilog="Example: quicksilver registry verify --endpoint card-fraud")
@explains_errors
def verify(endpoint: EndpointOption, stage: StageOption = "local", as_json: JsonOption = False) -> None:
    """Check the hash chain, every artefact and every signature. Exits with 1 where anything does not hold.

    It reads what is stored by itself and does not ask the registry function: you need to be let read it.
    """
    deployed = deployed_stage(stage)
    with progress(f"auditing {endpoint}") as step:
        result = deployed.audit(endpoint, step)

    def render() -> RenderableType:
        looked_at = {
            "history entries": str(result.entries),
            "model versions": str(result.model_versions),
            "routes": str(result.routes),
            "signatures": str(result.signatures),
        }
        return Group(
            facts(looked_at), *(Text(f"finding: {finding}", style="red") for finding in result.findings)
        )

    emit(asdict(result), as_json=as_json, render=render)
    if not result.holds:
        fail(f"The registry of {endpoint} does not hold: {len(result.findings)} findings.")
