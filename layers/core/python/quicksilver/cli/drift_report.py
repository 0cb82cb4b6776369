"""The report on drift at the command line. Imported when it is wanted."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.reports.drift import DriftReport, FeatureDrift, WindowLine

FEATURES = 12
"""The features that are shown; the page and --json have all."""


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
