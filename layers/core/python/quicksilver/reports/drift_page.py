"""The report on drift as one HTML page for people who answer for a model; an alarm links to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quicksilver.drift.result import Aspect, Finding, WindowResult
from quicksilver.drift.window_judge import Judged
from quicksilver.report_page import Badge, Cell, PageTable, Picture, Section, render_page
from quicksilver.reports.drift import (
    DriftReport,
    FeatureDrift,
    Reference,
    Standing,
    WindowLine,
    report,
    segment_words,
)
from quicksilver.reports.drift_pictures import (
    ASPECTS,
    feature,
    over_features,
    score_bars,
    scores_over_time,
    timeline,
)

DRAWN = 6
"""Features with a picture of their own."""
IN_ROWS = 20
"""Features in the picture of all, those that rank first."""
NAMED = 10
"""Alarms and unreadable objects that are named one by one."""
DRAWN_MODELS = 4

_BADGES = {
    Standing.DRIFTED: Badge("fail", "drift"),
    Standing.QUIET_AGAIN: Badge("warn", "quiet again"),
    Standing.QUIET: Badge("pass", "quiet"),
    Standing.NOT_JUDGED: Badge("none", "not judged"),
}
_ABOUT_ALARMS = (
    "An alarm needs three things at once. The difference must be more than chance makes between as many rows as this window "
    "and the reference have, and still be so when everything that is compared in the window is judged together (false "
    "discovery control, Benjamini and Hochberg 1995). And it must be large enough to act on: at or over the limit of the "
    "endpoint's policy, so that a small window raises no false alarm and a large one does not ring for what does not matter."
)
_ABOUT_RANK = (
    "Features are ranked by importance times drift: how much the model leans on a feature, and how many times its limit the feature has "
    "moved. Importance is the mean absolute contribution to the raw score; without explained answers, drift alone ranks. "
    "The reference is what the model was judged on before it was handed over."
)


def drift_page(results: Sequence[WindowResult], references: Mapping[str, Reference]) -> str:
    """The page on these windows of one endpoint; see ``drift.report``. Raises ``NotFound`` where there are none."""
    return render_drift(report(results, references))


def judged_page(judged: Judged) -> str:
    """The page of a window that was just judged, after those it was compared with."""
    return drift_page([*judged.earlier, judged.result], judged.binnings)


def render_drift(found: DriftReport) -> str:
    """The page. The same report gives the same text."""
    sections = [
        _glance(found),
        Section("Windows", pictures=(timeline(found.windows),), tables=(_windows(found.windows),)),
        *_features(found),
        _scores(found),
        Section("What makes an alarm", (_ABOUT_ALARMS,)),
        *_notes(found),
        Section("What to do next", next_steps(found)),
    ]
    return render_page(f"Drift of {found.endpoint}", found.sentence, sections, badge=_BADGES[found.standing])


def next_steps(found: DriftReport) -> tuple[str, ...]:
    """What a person would look at now, the most telling first."""
    look = f"quicksilver performance report --endpoint {found.endpoint} --html performance.html"
    if found.standing is Standing.NOT_JUDGED:
        return ("Wait for traffic, or ask in the policy for fewer rows (min_rows) or longer windows.",)
    if found.standing is Standing.QUIET:
        return (f"Nothing. Whether the model still does well is another question: {look}",)
    steps = []
    aspects = {finding.aspect for finding in found.alarms}
    for aspect, words in _STEPS.items():
        named = list(
            dict.fromkeys(
                finding.feature for finding in found.alarms if finding.aspect is aspect and finding.feature
            )
        )
        if aspect in aspects and named:
            steps.append(f"{words}: {', '.join(named[:NAMED])}{' and others' if len(named) > NAMED else ''}.")
    if Aspect.APPROVAL in aspects:
        steps.append("Approvals have moved: tell those who plan volumes and losses by them.")
    steps.append(f"See whether it costs anything, by outcomes and before they arrive: {look}")
    steps.append(
        "A new model is asked for by the endpoint's policy when alarms go on; it is trained, gated and put in shadow, and nothing "
        f"promotes it but a person: quicksilver retrain list --endpoint {found.endpoint}"
    )
    return tuple(steps)


_STEPS = {
    Aspect.MISSING: "Ask whoever delivers these whether a source has stopped or changed its format; values are missing more often, or less",
    Aspect.UNSEEN: "These hold values that the contract does not name, and the model knows nothing of them; a contract and a model that "
    "know them are needed",
    Aspect.OUT_OF_RANGE: "These lie outside what the model has learned from: check their units and sources before anything else",
    Aspect.DISTRIBUTION: "Ask the business whether customers, products or prices have changed; if not, look at the sources of",
}


def _glance(found: DriftReport) -> Section:
    judged = sum(line.judged for line in found.windows)
    known = [line.complete for line in found.windows if line.complete is not None]
    facts: tuple[tuple[str, Cell], ...] = (
        ("windows judged", judged),
        ("with an alarm", sum(line.alarms > 0 for line in found.windows)),
        ("features in alarm", sum(drift.alarm for drift in found.features)),
        ("predictions", sum(line.predictions for line in found.windows)),
        ("least complete window", f"{100 * min(known):.4g} %" if known else None),
    )
    text = [f"{found.endpoint}, {found.since} to {found.until}."]
    if found.alarms and found.shown:
        text.append(f"The alarms of {found.shown.words}, the weightiest first:")
        text += [f"{number}. {finding.sentence}" for number, finding in enumerate(found.alarms[:NAMED], 1)]
        if len(found.alarms) > NAMED:
            text.append(f"And {len(found.alarms) - NAMED} more, below.")
    return Section("At a glance", tuple(text), facts=tuple(fact for fact in facts if fact[1] is not None))


def _windows(lines: Sequence[WindowLine]) -> PageTable:
    rows = tuple(
        (
            line.words,
            line.predictions,
            None if line.complete is None else f"{100 * line.complete:.4g} %",
            line.revision,
            line.alarms if line.judged else None,
            line.first if line.judged else "not judged",
        )
        for line in reversed(lines)
    )
    return PageTable(
        ("window (UTC)", "predictions", "complete", "judged, times", "alarms", "first of them"), rows
    )


def _features(found: DriftReport) -> list[Section]:
    if not found.features or not found.shown:
        return []
    drawn = [drift for drift in found.features if drift.alarm][:DRAWN] or found.features[:3]
    pictures = (
        over_features(found.features[:IN_ROWS], found.windows),
        *(feature(drift, found.windows) for drift in drawn),
    )
    return [
        Section(
            f"Features on {found.shown.words}",
            (_ABOUT_RANK,),
            pictures=pictures,
            tables=(_ranking(found.features),),
        )
    ]


def _ranking(features: Sequence[FeatureDrift]) -> PageTable:
    rows = []
    for place, drift in enumerate(features, 1):
        finding = drift.leading
        shape = next((each.distances for each in drift.findings if each.distances), None)
        rows.append(
            (
                place,
                drift.feature,
                drift.model,
                "alarm" if drift.alarm else "",
                ASPECTS[finding.aspect],
                finding.effect,
                finding.limit,
                probability(finding.p_value),
                finding.importance,
                shape.psi if shape else None,
                shape.jensen_shannon if shape else None,
                shape.kolmogorov_smirnov if shape else None,
                shape.wasserstein if shape else None,
                drift.windows_in_alarm,
            )
        )
    columns = (
        "", "feature", "model version", "", "moved most", "by", "limit", "p", "importance", "PSI", "JS", "KS", "Wasserstein",
        "windows in alarm",
    )  # fmt: skip
    return PageTable(columns, tuple(rows), title="Every feature, by importance times drift")


def probability(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _scores(found: DriftReport) -> Section:
    pictures: list[Picture] = []
    if found.scores and any(model.points for model in found.scores):
        pictures.append(scores_over_time(found.scores[:DRAWN_MODELS], found.windows))
    pictures += [score_bars(model, model.bars) for model in found.scores[:DRAWN_MODELS] if model.bars]
    arms = tuple(
        (
            model.model,
            ", ".join(model.roles),
            sum(point.rows for point in model.points),
            model.points[-1].approved,
            model.points[-1].riskiest,
            model.points[-1].psi,
        )
        for model in found.scores
        if model.points
    )
    tables = [PageTable(("model version", "as", "rows", "approved", "riskiest tenth", "PSI of its scores"), arms, "By arm; the last three of its last window")]  # fmt: skip
    if found.segments:
        rows = tuple(
            (
                line.segment,
                line.model,
                line.rows,
                line.approved,
                "alarm" if any(finding.alarm for finding in line.findings) else "",
                "; ".join(_brief(finding) for finding in line.findings if finding.alarm),
            )
            for line in found.segments
        )
        columns = ("segment", "model version", "rows", "approved", "", "what moved")
        when = f" on {found.shown.words}" if found.shown else ""
        tables.append(PageTable(columns, rows, f"By segment{when}"))
    return Section("Scores and approvals", pictures=tuple(pictures), tables=tuple(tables))


def _brief(finding: Finding) -> str:
    about = segment_words(*finding.segment) if finding.segment else finding.feature or "scores"
    return finding.sentence.removeprefix(f"{about}: ")


def _notes(found: DriftReport) -> list[Section]:
    if not found.notes and not found.skipped:
        return []
    rows = tuple((note.text, note.windows, note.last) for note in found.notes)
    tables = [PageTable(("what", "windows", "last"), rows)] if rows else []
    if found.skipped:
        named = tuple((key,) for key in found.skipped[:NAMED])
        title = f"Objects of the archive that could not be read: {len(found.skipped)}"
        tables.append(PageTable(("object",), named, title))
    return [Section("What to know about these windows", tables=tuple(tables))]
