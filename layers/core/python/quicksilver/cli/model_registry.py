"""``quicksilver model register`` and what follows: the decisions about a model version."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.cli.output import JsonOption, emit, explains_errors
from quicksilver.cli.stage import (
    EndpointOption,
    PersonOption,
    ReasonOption,
    StageOption,
    YesOption,
    confirm,
    deployed_stage,
)
from quicksilver.errors import FieldError, InvalidInput
from quicksilver.gates.report import GateReport
from quicksilver.model_version import ModelVersion, who
from quicksilver.package_files import read_package

NameArgument = Annotated[str, typer.Argument(help="A model version, for example card-fraud@13.")]


@explains_errors
def register(
    path: Annotated[Path, typer.Argument(help="A model package: its folder, or one .tar.")],
    endpoint: EndpointOption,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="The gate report to hand in as evidence.",
            show_default="PATH.gate.json, if there",
        ),
    ] = None,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Register a package under the endpoint's next number, with its gate report as evidence."""
    package = read_package(path)
    evidence = _report(path, report)
    deployed = deployed_stage(stage, person)
    plan = f"Register package {package.sha256[:12]} for {endpoint} in stage {stage}"
    confirm(f"{plan}, with its gate report." if evidence else f"{plan}, without a gate report.", yes=yes)
    deployed.artifacts.put(package.sha256, package.files)
    model = deployed.registry.register(endpoint, package.sha256)
    if evidence and model.approval is None and evidence.sha256 != model.evidence_sha256:
        model = deployed.registry.add_evidence(model.name, evidence)
    _show(model, as_json=as_json)


@explains_errors
def list_(endpoint: EndpointOption, stage: StageOption = "local", as_json: JsonOption = False) -> None:
    """List an endpoint's model versions and what was decided about each."""
    models = list(deployed_stage(stage).registry.model_versions(endpoint))

    def render() -> Table:
        names = ("model version", "state", "registered at", "author", "approver", "package")
        table = Table(*(Column(name, overflow="fold") for name in names))
        for model in models:
            table.add_row(
                model.name,
                model.state.value,
                model.registered_at,
                who(model.author),
                who(model.approval.approver) if model.approval else "",
                model.package_sha256[:12],
            )
        return table

    emit([model.model_dump(mode="json") for model in models], as_json=as_json, render=render)


@explains_errors
def show(name: NameArgument, stage: StageOption = "local", as_json: JsonOption = False) -> None:
    """Show one model version, with its evidence's outcome and its approval."""
    _show(deployed_stage(stage).registry.model_version(name), as_json=as_json)


def _decision(verb: str, help_text: str) -> Callable[..., None]:
    """The command for one of the decisions that need a reason and nothing else."""

    def decide(
        name: NameArgument,
        reason: ReasonOption,
        stage: StageOption = "local",
        person: PersonOption = None,
        yes: YesOption = False,
        as_json: JsonOption = False,
    ) -> None:
        deployed = deployed_stage(stage, person)
        confirm(f"{verb.capitalize()} {name} in stage {stage}, as {deployed.caller()}.", yes=yes)
        _show(getattr(deployed.registry, verb)(name, reason=reason), as_json=as_json)

    decide.__doc__ = help_text
    return explains_errors(decide)


approve = _decision("approve", "Sign that a gated model version may answer. Its author can't.")
reject = _decision("reject", "Decide that a model version must never answer.")
retire = _decision("retire", "Decide that a model version must not answer any more.")


@explains_errors
def override(
    name: NameArgument,
    checks: Annotated[
        list[str], typer.Option("--check", help="A failed check as `model show` names it; name every one.")
    ],
    reason: ReasonOption,
    expires: Annotated[str, typer.Option("--expires", help="Until when, ISO-8601 with its offset.")],
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let failed checks not stand in the way, until a moment. The author can't."""
    deployed = deployed_stage(stage, person)
    confirm(f"Override {', '.join(checks)} of {name} in stage {stage} until {expires}.", yes=yes)
    model = deployed.registry.override(name, checks, reason=reason, expires_at=expires)
    _show(model, as_json=as_json)


def _report(package: Path, named: Path | None) -> GateReport | None:
    file = named or package.with_name(package.name.removesuffix(".tar") + ".gate.json")
    if named is None and not file.exists():
        return None
    try:
        return GateReport.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        raise InvalidInput("The gate report cannot be read.", [FieldError("--report", str(file))]) from None


def _show(model: ModelVersion, *, as_json: bool) -> None:
    content = {"name": model.name, **model.model_dump(mode="json")}
    emit(content, as_json=as_json, render=lambda: facts(_facts(model)))


def _facts(model: ModelVersion) -> Mapping[str, str]:
    lines = {
        "model version": model.name,
        "state": model.state.value,
        "package": model.package_sha256,
        "contract": model.fingerprint,
        "registered": f"{model.registered_at} by {who(model.author)}",
    }
    if model.evidence_sha256:
        lines["evidence"] = model.evidence_sha256
    if model.failed_checks:
        lines["failed checks"] = ", ".join(model.failed_checks)
    if model.override:
        lines["override"] = (
            f"until {model.override.expires_at} by {who(model.override.approver)}: {model.override.reason}"
        )
    if model.approval:
        lines["approved"] = f"{model.approval.at} by {who(model.approval.approver)}: {model.approval.reason}"
    return lines


def facts(lines: Mapping[str, Any]) -> RenderableType:
    """Names and values as a person reads them. Values are shown as they are: a ``[`` in one is no markup."""
    table = Table(Column(style="dim"), Column(overflow="fold"), show_header=False, box=None)
    for name, value in lines.items():
        table.add_row(name, Text(value if isinstance(value, str) else json.dumps(value)))
    return table


EXAMPLES: Sequence[tuple[str, Any, str]] = (
    ("register", register, "quicksilver model register build/card-fraud --endpoint card-fraud"),
    (
        "approve",
        approve,
        'quicksilver model approve card-fraud@13 --reason "Better on new cards." --as grace',
    ),
    ("reject", reject, 'quicksilver model reject card-fraud@13 --reason "Leaks the target." --as grace'),
    ("retire", retire, 'quicksilver model retire card-fraud@12 --reason "Replaced." --as grace'),
    (
        "override",
        override,
        (
            "quicksilver model override card-fraud@13 --check 'bias.adverse_impact_ratio[sex=female]'"
            ' --reason "Small group." --expires 2027-01-31T00:00:00Z --as grace'
        ),
    ),
    ("list", list_, "quicksilver model list --endpoint card-fraud"),
    ("show", show, "quicksilver model show card-fraud@13"),
)
