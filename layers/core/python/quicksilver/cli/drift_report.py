"""The report on drift at the command line. Imported when it is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.cli.output import progress_bar
from quicksilver.drift.models import ModelReader
from quicksilver.drift.result import WindowResult
from quicksilver.errors import NotFound
from quicksilver.monitoring import Kind, Window, read_document
from quicksilver.reports.drift import DriftReport, FeatureDrift, Reference, WindowLine, report

FEATURES = 12
"""The features that are shown; the page and --json have all."""


def read_report(
    deployed: DeployedStage, endpoint: str, *, since_ms: int | None, until_ms: int | None
) -> DriftReport:
    """The report on the windows that were judged in a span (UTC epoch ms; None: all). Raises ``NotFound``, saying what
    to do, where there are none, and ``Unavailable``."""
    store = deployed.monitoring
    since = Window(start_ms=since_ms, end_ms=since_ms).name if since_ms is not None else ""
    names = list(store.names(Kind.DRIFT, endpoint, since=since))
    results = []
    with progress_bar("reading results") as advance:
        for done, name in enumerate(names, 1):
            result = read_document(store, Kind.DRIFT, endpoint, name, WindowResult)
            if result and (until_ms is None or result.counts.window.end_ms <= until_ms):
                results.append(result)
            advance(done, len(names))
    if not results:
        error = NotFound(
            f"No window of {endpoint} has been judged{' in that span' if since_ms or until_ms else ' yet'}."
        )
        error.add_note(f"Judge what is due with: quicksilver drift run --endpoint {endpoint}")
        raise error
    return report(results, _references(deployed, endpoint, results))


def _references(
    deployed: DeployedStage, endpoint: str, results: Sequence[WindowResult]
) -> Mapping[str, Reference]:
    """What the packages say of the model versions that answered; one that cannot be read is left out."""
    models = ModelReader(deployed.artifacts, deployed.policy(endpoint).cutoff)
    answered = {arm.model: arm.package_sha256 for result in results for arm in result.counts.arms}
    found = ((model, models.binning(model, sha256)) for model, sha256 in answered.items())
    return {model: binning for model, binning in found if binning is not None}


def render(found: DriftReport) -> RenderableType:
    """The sentence, and the tables behind it."""
    notes = [Text(f"{note.text} ({note.last})", style="yellow") for note in found.notes]
    parts: list[RenderableType] = [Text(found.sentence, style="bold"), Text(), _windows(found.windows)]
    if found.features and found.shown:
        parts += [
            Text(f"\nFeatures on {found.shown.words}, by importance times drift"),
            _features(found.features),
        ]
    return Group(*parts, *notes)


def _windows(lines: tuple[WindowLine, ...]) -> Table:
    right = (Column(name, justify="right") for name in ("predictions", "complete", "alarms"))
    table = Table(Column("window (UTC)", no_wrap=True), *right, Column("first of them", overflow="fold"))
    for line in lines:
        cells = (
            line.words,
            f"{line.predictions:,}",
            "" if line.complete is None else f"{100 * line.complete:.4g} %",
            str(line.alarms) if line.judged else "",
            (line.first or "") if line.judged else "not judged",
        )
        table.add_row(*map(Text, cells), style="red" if line.alarms else "")
    return table


def _features(features: tuple[FeatureDrift, ...]) -> Table:
    right = (Column(name, justify="right") for name in ("effect", "limit", "importance", "windows"))
    table = Table(Column("feature", overflow="fold"), "aspect", *right)
    for drift in features[:FEATURES]:
        finding = drift.leading
        cells = (
            drift.feature,
            finding.aspect.replace("_", " "),
            f"{finding.effect:.3g}",
            f"{finding.limit:g}",
            "" if finding.importance is None else f"{finding.importance:.3g}",
            str(drift.windows_in_alarm),
        )
        table.add_row(*map(Text, cells), style="red" if drift.alarm else "")
    return table
