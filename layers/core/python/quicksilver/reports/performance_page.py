"""The report on an endpoint's performance as one HTML page. Never in a layer."""

from __future__ import annotations

from collections.abc import Sequence

from quicksilver.instants import utc_iso
from quicksilver.performance.result import PerformanceResult
from quicksilver.report_page import Badge, Cell, PageTable, Picture, Section, render_page
from quicksilver.reports.performance import ArmWeek, PerformanceReport
from quicksilver.reports.performance_pictures import auc_over_time, maturity, reliability

_ABOUT = (
    "A window is judged when the policy's share of the labels that will ever come is there, and labels enough of both kinds; it is "
    "degraded where all of the 95 % interval of its AUC lies below the AUC at training less the margin. Before, its performance is "
    "estimated from the scores (CBPE), calibrated on earlier ripe windows where there are any."
)


def render_performance(report: PerformanceReport) -> str:
    """The page. The same report gives the same text."""
    sections = (
        Section(
            "AUC over time",
            (_ABOUT,),
            facts=_facts(report),
            pictures=(auc_over_time(report),) if report.windows else (),
        ),
        Section("By week and arm", tables=(_weeks(report.weeks),)),
        Section(
            "Calibration",
            pictures=tuple(picture for picture in (reliability(report),) if picture is not None),
            text=() if report.reliability else ("There is no label yet.",),
        ),
        Section("How labels mature", _maturity(report), pictures=_curve(report)),
        Section(
            "Labels",
            (report.selection.sentence, *_coverage(report)),
            tables=(_coverage_table(report),),
        ),
        Section("Windows", tables=(_windows(report.windows),)),
    )
    title = f"Performance of {report.endpoint}, {_date(report.span.start_ms)} to {_date(report.span.end_ms)}"
    return render_page(title, report.sentence, sections, badge=_badge(report))


def _badge(report: PerformanceReport) -> Badge:
    if report.degraded:
        return Badge("fail", "degraded")
    return Badge("pass", "holds") if report.judged else Badge("none", "not judged")


def _facts(report: PerformanceReport) -> tuple[tuple[str, Cell], ...]:
    error = report.error_of_estimates()
    return (
        ("predictions", report.predictions),
        ("with a label", report.labelled),
        ("windows judged", len(report.judged)),
        ("of them degraded", len(report.degraded)),
        *((("estimates were off by, AUC on average", error),) if error is not None else ()),
    )


def _curve(report: PerformanceReport) -> tuple[Picture, ...]:
    return (maturity(report),) if report.curve.followed_days else ()


def _maturity(report: PerformanceReport) -> tuple[str, ...]:
    curve, terms = report.curve, report.policy.performance
    if curve.ever is None:
        words = (
            f"Labels are waited for {terms.label_days} days and predictions have been followed for "
            f"{curve.followed_days}: how many labels will come is not known yet, and no window is ripe before it is "
            f"{terms.label_days} days old."
        )
        return (words,)
    return (
        f"In the end {curve.ever:.1%} of the predictions have a label. A window is ripe with {terms.ripe_share:.0%} of those.",
    )


def _coverage(report: PerformanceReport) -> tuple[str, ...]:
    said = []
    if report.coverage.faults:
        said.append("Some outcomes count for nothing; the table says how many and why.")
    if report.skipped:
        said.append(
            f"{report.skipped:,} objects of the archive could not be read: what they hold is in no number here."
        )
    return tuple(said)


def _coverage_table(report: PerformanceReport) -> PageTable:
    found = report.coverage
    since = _date(found.since_ms)
    rows = (
        ("outcomes that were known in this time", found.outcomes),
        (f"of a prediction id that no prediction since {since} has", found.unknown_by_id),
        (f"of an entity without a prediction in the {report.policy.performance.match_days} days before the event", found.unknown_by_entity),
        ("known before their prediction was made", found.early),
        ("known in the future", found.future),
        ("predictions with two labels that contradict each other at one time; the bad one counts", found.contradicting),
    )  # fmt: skip
    return PageTable(("outcomes", "how many"), rows)


def _weeks(weeks: Sequence[ArmWeek]) -> PageTable:
    rows = []
    for week in weeks:
        found = week.realised
        low, high = found.auc_interval if found and found.auc_interval else (None, None)
        rows.append(
            (
                _date(week.start_ms),
                week.model,
                week.role,
                week.answered.predictions,
                week.labelled,
                None if week.ripeness is None else f"{week.ripeness:.0%}",
                found.metrics.auc if found else None,
                low,
                high,
                week.estimated_auc,
                found.metrics.ks if found else None,
                found.metrics.brier if found else None,
                found.metrics.calibration if found else None,
            )
        )
    columns = (
        "week of",
        "model version",
        "role",
        "predictions",
        "labels",
        "ripe",
        "AUC",
        "from",
        "to",
        "estimated AUC",
        "KS",
        "Brier",
        "calibration error",
    )
    return PageTable(columns, tuple(rows))


def _windows(windows: Sequence[PerformanceResult]) -> PageTable:
    rows = tuple(
        (
            f"{utc_iso(window.window.start_ms)[:16]}Z",
            window.model,
            "degraded" if window.degraded else "holds" if window.judged else "not judged",
            " ".join((window.sentence, *window.notes)),
        )
        for window in reversed(windows)
    )
    return PageTable(("window from", "model version", "", "what is said of it"), rows)


def _date(epoch_ms: int) -> str:
    return utc_iso(epoch_ms)[:10]
