"""``quicksilver shadow``: model versions that score what others answer, live or from the archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Column, Table

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.archive import opened_archive
from quicksilver.cli.output import JsonOption, emit, explains_errors, progress_bar, write_page
from quicksilver.cli.route import route_view
from quicksilver.cli.stage import (
    EndpointOption,
    PersonOption,
    ReasonOption,
    StageOption,
    YesOption,
    confirm,
    deployed_stage,
)
from quicksilver.contract import Contract
from quicksilver.errors import FieldError, InvalidInput, InvalidPackage
from quicksilver.instants import utc_iso
from quicksilver.package import Package, read_contract
from quicksilver.query import Span
from quicksilver.routing import Arm, Role

if TYPE_CHECKING:
    from quicksilver.reports.shadow import ShadowReport
    from quicksilver.sql.engine import ArchiveDatabase

# What reports compute with (duckdb, numpy, matplotlib) is imported when they run: other commands would wait for nothing.

app = typer.Typer(
    no_args_is_help=True, help="Score live or archived predictions with models that answer nobody."
)

ModelOption = Annotated[str, typer.Option("--model", help="The model version, for example card-fraud@14.")]
CutoffOption = Annotated[
    float | None,
    typer.Option(
        "--cutoff",
        help="From what score on a decision is adverse.",
        show_default="the deployed policy's",
    ),
]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write the report as one HTML page here.")]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
UNREGISTERED = 999_999_999
"""The number in the scores of a package that has none: they are told from others' by the package, and kept nowhere."""


@app.command(
    epilog='Example: quicksilver shadow add --endpoint card-fraud --model card-fraud@14 --reason "Look first."'
)
@explains_errors
def add(
    endpoint: EndpointOption,
    model: ModelOption,
    reason: ReasonOption,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a gated or approved model version score what is answered from now on; all else on the route goes on."""
    deployed = deployed_stage(stage, person)
    confirm(f"Add {model} to {endpoint} in stage {stage} as a shadow: it answers nobody.", yes=yes)
    route = deployed.registry.add_shadow(endpoint, model, reason=reason)
    emit(route.model_dump(mode="json"), as_json=as_json, render=lambda: route_view(route))


@app.command(
    epilog='Example: quicksilver shadow remove --endpoint card-fraud --model card-fraud@14 --reason "Seen enough."'
)
@explains_errors
def remove(
    endpoint: EndpointOption,
    model: ModelOption,
    reason: ReasonOption,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a shadow score no more; all else on the route goes on, and its scores stay in the archive."""
    deployed = deployed_stage(stage, person)
    confirm(f"Remove the shadow {model} from {endpoint} in stage {stage}.", yes=yes)
    route = deployed.registry.remove_shadow(endpoint, model, reason=reason)
    emit(route.model_dump(mode="json"), as_json=as_json, render=lambda: route_view(route))


@app.command(
    epilog="Example: quicksilver shadow report --endpoint card-fraud --model card-fraud@14 --html shadow.html"
)
@explains_errors
def report(
    endpoint: EndpointOption,
    model: ModelOption,
    hours: Annotated[
        float, typer.Option("--hours", min=0.01, max=24 * 366, help="How far to look back.")
    ] = 24,
    cutoff: CutoffOption = None,
    html: HtmlOption = None,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """What a shadow would have decided otherwise, from the scores it left in the archive."""
    deployed = deployed_stage(stage)
    package_sha256 = _of_endpoint(deployed, model, endpoint)
    until_ms = SystemClock().now_ms()
    since_ms = until_ms - round(hours * HOUR_MS)
    span, tables = Span(since_ms, until_ms), ["predictions", "shadow_scores"]
    with opened_archive(deployed, tables, span, endpoint=endpoint) as database:
        found = _compare(deployed, database, endpoint, model, package_sha256, since_ms, until_ms, cutoff)
    _write(found, html)
    emit(found.model_dump(mode="json"), as_json=as_json, render=lambda: shown(found))


@app.command(
    epilog="Example: quicksilver shadow replay --endpoint card-fraud --package build/card-fraud --days 7"
)
@explains_errors
def replay(
    endpoint: EndpointOption,
    model: Annotated[
        str | None, typer.Option("--model", help="A registered model version, for example card-fraud@14.")
    ] = None,
    package: Annotated[
        Path | None, typer.Option("--package", help="Or a model package that nobody has registered yet.")
    ] = None,
    days: Annotated[float, typer.Option("--days", min=0.001, max=3_660, help="How far to go back.")] = 7,
    cutoff: CutoffOption = None,
    html: HtmlOption = None,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Run a model over the archived vectors of the last days, on this machine, before it sees live traffic."""
    from quicksilver.reports.shadow_replay import replay as replay_archive

    if (model is None) == (package is None):
        raise InvalidInput("Name one model to replay.", [FieldError("--model or --package", "exactly one")])
    deployed = deployed_stage(stage)
    arm, name, scorer = _replayed(deployed, endpoint, model, package)
    until_ms = SystemClock().now_ms()
    since_ms = until_ms - round(days * DAY_MS)
    span = Span(since_ms, until_ms)
    with opened_archive(deployed, ["predictions"], span, endpoint=endpoint) as database:
        with progress_bar(f"scoring with {name}") as advance:
            done = replay_archive(
                database,
                endpoint=endpoint,
                arm=arm,
                since=utc_iso(since_ms),
                until=utc_iso(until_ms),
                scorer=scorer,
                progress=advance,
            )
        found = _compare(deployed, database, endpoint, name, arm.package_sha256, since_ms, until_ms, cutoff)
    _write(found, html)
    speed = {
        "rows": done.rows,
        "seconds": round(done.seconds, 3),
        "rows_per_second": round(done.rows_per_second),
    }
    typer.echo(f"{done.rows:,} rows in {done.seconds:.1f} s: {done.rows_per_second:,.0f} rows/s", err=True)
    emit({**found.model_dump(mode="json"), "replay": speed}, as_json=as_json, render=lambda: shown(found))


def _of_endpoint(deployed: DeployedStage, model: str, endpoint: str) -> str:
    """The SHA-256 of a model version's package. Raises ``InvalidInput`` for another endpoint's."""
    if model.rpartition("@")[0] != endpoint:
        raise InvalidInput(
            f"{model} is not a model version of {endpoint}.",
            [FieldError("--model", f"must begin with {endpoint}@")],
        )
    return deployed.registry.model_version(model).package_sha256


def _replayed(
    deployed: DeployedStage, endpoint: str, model: str | None, folder: Path | None
) -> tuple[Arm, str, Any]:
    """The arm to score by, how a person knows it, and what scores."""
    from quicksilver.evaluator import LightGBMEvaluator
    from quicksilver.model_loader import ModelLoader
    from quicksilver.reports.shadow_replay import PackageBeside
    from quicksilver.shadow.scoring import ShadowScorer

    store: Any = deployed.artifacts
    if model is not None:
        sha256, name = _of_endpoint(deployed, model, endpoint), model
        arm = Arm(model=model, package_sha256=sha256, role=Role.SHADOW, share_bp=0)
    else:
        assert folder is not None  # noqa: S101 - one of the two is given
        package = _package(folder, endpoint)
        store = PackageBeside(package, store)
        name = f"package {package.sha256[:12]}"
        arm = Arm(
            model=f"{endpoint}@{UNREGISTERED}", package_sha256=package.sha256, role=Role.SHADOW, share_bp=0,
        )  # fmt: skip
    # The registry has just named these bytes, or a person has.
    loader = ModelLoader(store, LightGBMEvaluator, permit=lambda _: None)
    loader.model(arm)  # what cannot be loaded is said before the archive is read
    return arm, name, ShadowScorer(loader, store, SystemClock())


def _package(path: Path, endpoint: str) -> Package:
    from quicksilver.package_files import read_package

    package = read_package(path)
    if package.contract.endpoint != endpoint:
        raise InvalidPackage(
            f"The package is not for {endpoint}.",
            [FieldError("endpoint", f"is {package.contract.endpoint} in the contract")],
        )
    return package


def _compare(
    deployed: DeployedStage,
    database: ArchiveDatabase,
    endpoint: str,
    shadow: str,
    package_sha256: str,
    since_ms: int,
    until_ms: int,
    cutoff: float | None,
) -> ShadowReport:
    from quicksilver.reports.shadow import compare

    def contract_of(package: str, fingerprint: str) -> Contract:
        return read_contract(
            lambda name: deployed.artifacts.get(package, name), fingerprint, of=f"a record ({package[:12]})"
        )

    return compare(
        database,
        endpoint=endpoint,
        shadow=shadow,
        package_sha256=package_sha256,
        since=utc_iso(since_ms),
        until=utc_iso(until_ms),
        cutoff=deployed.policy(endpoint).cutoff if cutoff is None else cutoff,
        contract_of=contract_of,
    )


def _write(found: ShadowReport, path: Path | None) -> None:
    if path is None:
        return
    from quicksilver.reports.shadow_page import render_html

    write_page(path, render_html(found))


def shown(found: ShadowReport) -> RenderableType:
    """A report for a terminal of 100 columns."""
    from quicksilver.reports.shadow_page import between, flipping, headline, percent

    facts = Table(show_header=False, box=None)
    coverage = found.coverage
    for name, value in (
        ("time", f"{found.since} to {found.until}"),
        ("cut-off", f"{found.cutoff:g}"),
        (
            "scored",
            f"{coverage.scored:,} of {coverage.predictions:,}, {percent(coverage.share)} since the first",
        ),
        ("errors", ", ".join(f"{k.replace('_', ' ')}: {v:,}" for k, v in found.errors.items()) or "none"),
        ("PSI, KS", f"{found.psi:.4f}, {found.ks:.4f}"),
        ("Spearman", "none: one score is constant" if found.spearman is None else f"{found.spearman:.4f}"),
        ("a score takes", f"{found.latency.median_us:,} us, p99 {found.latency.p99_us:,} us"),
    ):
        facts.add_row(name, value)
    parts: list[RenderableType] = [headline(found), facts]
    if rows := flipping(found):
        right = [Column(name, justify="right") for name in ("compared", "adverse", "approved", "share")]
        table = Table(
            "feature", "segment", *right, "interval", title="Segments that flip most", title_justify="left"
        )
        for item in rows:
            flips = item.flips
            table.add_row(
                item.feature, item.segment, f"{flips.compared:,}", f"{flips.to_adverse:,}",
                f"{flips.to_approved:,}", percent(flips.share), between(flips),
            )  # fmt: skip
        parts.append(table)
    return Group(*parts)
