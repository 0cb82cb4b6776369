"""``quicksilver model gate``: what a package must show, against the endpoint's champion.

Exit code 0 where every check passes or warns, 1 where one fails or the gates cannot be run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.aws.system import SystemClock
from quicksilver.cli.output import JsonOption, emit, explains_errors, progress_steps
from quicksilver.cli.stage import EndpointOption, StageOption, deployed_stage
from quicksilver.errors import FieldError, InvalidInput, InvalidPackage, NotFound
from quicksilver.gates.policy import Policy
from quicksilver.gates.render import headline, interval, number, subject, to_junit, to_markdown
from quicksilver.gates.report import Check, Gate, GateReport, Outcome
from quicksilver.local import checkout
from quicksilver.package import MODEL, open_package
from quicksilver.package_files import TAR, evaluation_path, read_package

if TYPE_CHECKING:
    from quicksilver.gates.run import Champion

# What gates compute with (numpy, pyarrow) is imported when they run: other commands would wait for nothing.

NO_CHAMPION = "none"
_STYLE = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.FAIL: "bold red"}


@explains_errors
def gate(
    path: Annotated[Path, typer.Argument(help="A model package: its folder, or one .tar.")],
    endpoint: EndpointOption,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="The evaluation rows, as Parquet.", show_default="PATH.evaluation.parquet"
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="The endpoint's gate policy.", show_default="policies/ENDPOINT.toml"),
    ] = None,
    champion: Annotated[
        str | None,
        typer.Option(
            "--champion",
            help="What to compare with: a package, or 'none' for an endpoint's first model.",
            show_default="the stage's champion",
        ),
    ] = None,
    stage: StageOption = "local",
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write Markdown here.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the gate report here.", show_default="PATH.gate.json"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the gates: performance, bias, consistency, latency. Exit code 1 where a check fails, else 0."""
    from quicksilver.evaluation_file import read_evaluation
    from quicksilver.gates.run import run_gates

    package = read_package(path)
    if package.contract.endpoint != endpoint:
        raise InvalidPackage(
            f"The package is not for {endpoint}.",
            [FieldError("endpoint", f"is {package.contract.endpoint} in the contract")],
        )
    rules = _policy(policy or checkout() / "policies" / f"{endpoint}.toml")
    rows = read_evaluation(data or evaluation_path(path))
    rival = _champion(champion, endpoint, stage)
    with progress_steps() as step:
        report = run_gates(package, rows, rules, rival, SystemClock(), step)
    _write(out or path.with_name(f"{path.name.removesuffix(TAR)}.gate.json"), report.canonical_json)
    if junit:
        _write(junit, to_junit(report).encode())
    if markdown:
        _write(markdown, to_markdown(report).encode())
    content = {
        "outcome": report.outcome,
        "report_sha256": report.sha256,
        **report.model_dump(mode="json", exclude_none=True),
    }
    emit(content, as_json=as_json, render=lambda: shown(report))
    if report.outcome is Outcome.FAIL:
        raise typer.Exit(1)


def _policy(path: Path) -> Policy:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        error = NotFound(f"There is no gate policy at {path}.")
        error.add_note("Write the endpoint's policy, or name one with --policy.")
        raise error from None
    except (OSError, UnicodeDecodeError):
        raise InvalidInput("The gate policy cannot be read.", [FieldError("--policy", str(path))]) from None
    return Policy.from_toml(text)


def _champion(named: str | None, endpoint: str, stage: str) -> Champion | None:
    """The package to compare with: none, one on disk, or what answers in the stage now."""
    from quicksilver.gates.run import Champion

    if named == NO_CHAMPION:
        return None
    if named is not None:
        return Champion(None, read_package(Path(named)))
    deployed = deployed_stage(stage)
    try:
        arm = deployed.registry.current_route(endpoint).champion
    except NotFound as error:
        error.add_note("For the endpoint's first model: --champion none")
        raise
    sha256 = arm.package_sha256
    package = open_package(lambda name: deployed.artifacts.get(sha256, name), sha256, only=[MODEL])
    return Champion(arm.model, package)


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as reason:
        raise InvalidInput(f"{path} cannot be written: {reason.strerror}.") from None


def shown(report: GateReport) -> RenderableType:
    """A report for a terminal of 100 columns: a table per gate, then what needs attention."""
    parts: list[RenderableType] = []
    for each in Gate:
        checks = report.of_gate(each)
        if checks and each is Gate.BIAS:
            parts += [_bias_table(checks)]
        elif checks:
            parts += [_table(each, checks)]
    parts += [
        Text(f"{check.outcome.value} {subject(check)}: {check.sentence}", style=_STYLE[check.outcome])
        for check in report.checks
        if check.outcome is not Outcome.PASS
    ]
    against = (
        f"against {report.champion or report.champion_sha256[:12]}"
        if report.champion_sha256
        else "without a champion"
    )
    facts = f"{report.endpoint}, package {report.package_sha256[:12]}, {report.rows:,} rows, {against}, policy {report.policy_version}"
    return Group(*parts, Text(facts), Text(headline(report), style=_STYLE[report.outcome]))


def _table(gate: Gate, checks: tuple[Check, ...]) -> Table:
    """A line per check; a column that would be empty is left out."""
    columns: dict[str, list[str]] = {
        "value": [number(check.value) for check in checks],
        "interval": [interval(check) for check in checks],
        "limit": [number(check.limit) for check in checks],
        "champion": [number(check.champion) for check in checks],
    }
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    table = Table(
        Column("check", overflow="fold"), "outcome",
        *(Column(name, justify="right", no_wrap=True) for name in filled),
        title=gate.value, title_justify="left",
    )  # fmt: skip
    for row, check in enumerate(checks):
        outcome = Text(check.outcome.value, style=_STYLE[check.outcome])
        table.add_row(check.name, outcome, *(cells[row] for cells in filled.values()))
    return table


_MEASURES = {
    "favourable_rate": "favourable",
    "adverse_impact_ratio": "impact ratio",
    "equal_opportunity_gap": "opportunity",
    "equalized_odds_gap": "odds",
    "calibration_gap": "calibration",
}


def _bias_table(checks: tuple[Check, ...]) -> Table:
    """One line per group; an interval stands beside the ratio, and small groups are dimmed: they are not judged."""
    table = Table(
        Column("group", overflow="fold"),
        *(Column(name, justify="right", overflow="fold") for name in ("rows", *_MEASURES.values())),
        title="bias", title_justify="left",
    )  # fmt: skip
    groups = dict.fromkeys((check.attribute, check.group) for check in checks if check.group is not None)
    for attribute, group in groups:
        found = {
            check.name: check for check in checks if (check.attribute, check.group) == (attribute, group)
        }
        table.add_row(
            Text(f"{attribute}: {group}"),
            number(found["favourable_rate"].rows),
            *(_measure(found[name]) for name in _MEASURES),
        )
    return table


def _measure(check: Check) -> Text:
    text = "-" if check.value is None else f"{check.value:.3f}"
    if check.name == "adverse_impact_ratio" and check.low is not None and check.high is not None:
        text += f" ({check.low:.2f}-{check.high:.2f})"
    if check.limit is None and check.name != "favourable_rate":
        return Text(text, style="dim")
    return Text(text, style=_STYLE[check.outcome] if check.outcome is not Outcome.PASS else "")


EXAMPLES: Sequence[tuple[str, Any, str]] = (
    ("gate", gate, "quicksilver model gate build/card-fraud --endpoint card-fraud --junit build/gate.xml"),
)
