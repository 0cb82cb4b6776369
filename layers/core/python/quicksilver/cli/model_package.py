"""``quicksilver model pack|check|card|diff``: model packages, before and beside the registry."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from quicksilver.cli.output import JsonOption, emit, explains_errors, progress
from quicksilver.cli.stage import StageOption, deployed_stage
from quicksilver.contract import Contract
from quicksilver.errors import FieldError, InvalidInput, NotFound
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import GateReport
from quicksilver.local import checkout
from quicksilver.model_version import MODEL_NAME
from quicksilver.package import Package, open_package
from quicksilver.package_check import PackageCheck, check_package
from quicksilver.package_files import TAR, evaluation_path, read_package, write_handover

# What trains and draws (pyarrow, lightgbm, matplotlib, shap) is imported by the commands that need it: others
# would wait seconds for nothing.

PathArgument = Annotated[Path, typer.Argument(help="A model package: its folder, or one .tar.")]
WhichArgument = Annotated[
    str, typer.Argument(help="A package's folder or .tar, or a model version, for example card-fraud@13.")
]


@explains_errors
def pack(
    out: Annotated[Path, typer.Argument(help="Where to write: a new folder, or a new .tar.")],
    model: Annotated[Path, typer.Option("--model", help="The LightGBM model text.")],
    contract: Annotated[Path, typer.Option("--contract", help="The contract, as JSON.")],
    reference: Annotated[
        Path, typer.Option("--reference", help="Reference rows as Parquet: raw features, outcome and all.")
    ],
    target: Annotated[str, typer.Option("--target", help="The outcome's column.")] = "target",
    protected: Annotated[
        list[str] | None,
        typer.Option(
            "--protected", help="A protected attribute's column; repeat it.", show_default="the contract's"
        ),
    ] = None,
    golden: Annotated[int, typer.Option("--golden", min=1, help="How many golden rows.")] = 200,
    card: Annotated[
        Path | None, typer.Option("--card", help="TOML with purpose, owner, data and limits.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a package of a trained model, and write its evaluation rows beside it."""
    from quicksilver.packing import evaluation_rows, pack as make

    agreed = Contract.from_json(_bytes(contract, "--contract"))
    named = tuple(agreed.protected if protected is None else protected)
    with progress("reading the reference rows") as step:
        rows = _parquet(reference)
        lacking = [name for name in (target, *named) if name not in rows]
        if lacking:
            raise InvalidInput(
                "The reference lacks columns.", [FieldError(name, "is absent") for name in lacking]
            )
        judged: dict[str, Any] = {
            "reference": rows,
            "target": rows[target],
            "protected": {name: rows[name] for name in named},
        }
        step("packing")
        package = make(_bytes(model, "--model"), agreed, **judged, golden=golden, card=_card(card))
        beside = write_handover(package, evaluation_rows(agreed, **judged), out)
    facts = {"package": str(out), "package_sha256": package.sha256, "evaluation": str(beside)}
    emit(
        {**facts, "fingerprint": agreed.fingerprint, "metrics": dict(package.metrics)},
        as_json=as_json,
        render=lambda: f"{out} is package {package.sha256[:12]}.\nIts evaluation rows are in {beside}.",
    )


@explains_errors
def check(path: PathArgument, as_json: JsonOption = False) -> None:
    """Check everything about a package, and explain all that is wrong. Exit code 1 where anything is."""
    result = check_package(path)
    emit(_check_facts(result), as_json=as_json, render=lambda: _findings(result))
    if not result.sound:
        raise typer.Exit(1)


@explains_errors
def card(
    which: WhichArgument,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="The evaluation rows.", show_default="PATH.evaluation.parquet"),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="The gate report.", show_default="PATH.gate.json")
    ] = None,
    champion: Annotated[
        str | None, typer.Option("--champion", help="A package or model version to compare with.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="Whose cut-off to draw.", show_default="policies/ENDPOINT.toml"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The HTML file.", show_default="PATH.card.html")
    ] = None,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Write a package's model card as one HTML file with pictures, and print its path."""
    from quicksilver.evaluation_file import read_evaluation
    from quicksilver.model_card import render_html

    package = named_package(which, stage)
    beside = Path(which) if MODEL_NAME.fullmatch(which) is None else Path("build", which)
    rows, evidence = data or evaluation_path(beside), report or _beside(beside, ".gate.json")
    with progress("drawing the model card"):
        html = render_html(
            package,
            data=read_evaluation(rows) if data or rows.exists() else None,
            report=_report(evidence) if report or evidence.exists() else None,
            champion=None if champion is None else named_package(champion, stage),
            cutoff=_cutoff(policy, package.contract.endpoint),
            title=f"Model card: {which if MODEL_NAME.fullmatch(which) else package.contract.endpoint}",
        )
        page = out or _beside(beside, ".card.html")
        try:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(html, encoding="utf-8")
        except OSError as reason:
            raise InvalidInput(f"{page} cannot be written: {reason.strerror}.") from None
    emit({"card": str(page)}, as_json=as_json, render=lambda: Text(str(page)))


@explains_errors
def diff(
    before: WhichArgument,
    after: WhichArgument,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show what changed between two model versions or packages: contract, importance, metrics, bias."""
    from quicksilver.package_diff import diff_packages, render_diff

    difference = diff_packages(
        named_package(before, stage),
        named_package(after, stage),
        reports=(named_report(before, stage), named_report(after, stage)),
    )
    emit(difference.model_dump(mode="json"), as_json=as_json, render=lambda: render_diff(difference))


def named_package(which: str, stage: str) -> Package:
    """A package by its path, or by the name of a model version registered in a stage."""
    if MODEL_NAME.fullmatch(which) is None:
        return read_package(Path(which))
    deployed = deployed_stage(stage)
    sha256 = deployed.registry.model_version(which).package_sha256
    return open_package(lambda name: deployed.artifacts.get(sha256, name), sha256)


def named_report(which: str, stage: str) -> GateReport | None:
    """The gate report beside a package, or the evidence of a registered model version; none where there is none."""
    if MODEL_NAME.fullmatch(which) is None:
        file = _beside(Path(which), ".gate.json")
        return _report(file) if file.exists() else None
    try:
        return deployed_stage(stage).registry.evidence(which)
    except NotFound:
        return None


def _check_facts(result: PackageCheck) -> dict[str, Any]:
    facts: dict[str, Any] = {"sound": result.sound}
    if package := result.package:
        facts |= {
            "endpoint": package.manifest.endpoint,
            "package_sha256": package.sha256,
            "fingerprint": package.manifest.fingerprint,
            "features": len(package.contract.features),
        }
    return {**facts, "findings": [asdict(finding) for finding in result.findings]}


def _findings(result: PackageCheck) -> RenderableType:
    lines: list[Text] = []
    for finding in result.findings:
        mark = Text("sound ", style="green") if finding.sound else Text("wrong ", style="bold red")
        lines.append(Text.assemble(mark, (f"{finding.part}: ", "bold"), finding.sentence))
        lines += [Text(f"      {field}") for field in finding.fields]
    lines.append(Text("The package is sound." if result.sound else "The package is not sound."))
    return Group(*lines)


def _bytes(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as reason:
        raise NotFound(f"{option} {path} cannot be read: {reason.strerror}.") from None


def _parquet(path: Path) -> Any:
    import pandas as pd

    _bytes(path, "--reference")
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError):
        raise InvalidInput(
            "The reference is not a Parquet file.", [FieldError("--reference", str(path))]
        ) from None


def _card(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        return tomllib.loads(_bytes(path, "--card").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("The card's facts are not TOML.", [FieldError("--card", str(error))]) from None


def _beside(package: Path, suffix: str) -> Path:
    return package.with_name(package.name.removesuffix(TAR) + suffix)


def _report(path: Path) -> GateReport:
    try:
        return GateReport.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise InvalidInput("The gate report cannot be read.", [FieldError("--report", str(path))]) from None


def _cutoff(named: Path | None, endpoint: str) -> float | None:
    path = named or checkout() / "policies" / f"{endpoint}.toml"
    if named is None and not path.exists():
        return None
    return Policy.from_toml(_bytes(path, "--policy").decode()).cutoff


EXAMPLES: Sequence[tuple[str, Any, str]] = (
    (
        "pack",
        pack,
        (
            "quicksilver model pack build/credit --model model.txt --contract contract.json"
            " --reference reference.parquet --card card.toml"
        ),
    ),
    ("check", check, "quicksilver model check build/card-fraud"),
    ("card", card, "quicksilver model card build/card-fraud"),
    ("diff", diff, "quicksilver model diff card-fraud@12 card-fraud@13"),
)
