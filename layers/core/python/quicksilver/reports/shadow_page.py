"""The shadow report for people: sentences, tables and pictures of what ``reports.shadow`` counted."""

from __future__ import annotations

from matplotlib.ticker import NullFormatter, PercentFormatter

from quicksilver.drawing import BAD, CHAMPION, MODEL, QUIET, drawing
from quicksilver.report_page import PageTable, Picture, Section, render_page
from quicksilver.reports.shadow import Flips, Segment, ShadowReport

SEGMENTS = 15
"""How many segments are shown; the report itself has all."""


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def between(flips: Flips) -> str:
    return f"{100 * flips.low:.2f} to {percent(flips.high)}"


def headline(report: ShadowReport) -> str:
    """The report in one sentence."""
    flips = report.disagreement
    return (
        f"{report.shadow} would have decided {percent(flips.share)} of {flips.compared:,} predictions otherwise "
        f"({between(flips)} at 95 % confidence): {flips.to_adverse:,} to adverse, {flips.to_approved:,} to approved."
    )


def flipping(report: ShadowReport) -> list[Segment]:
    """The segments that flip most, of those that flip at all."""
    return [item for item in report.segments if item.flips.share > 0][:SEGMENTS]


def render_html(report: ShadowReport) -> str:
    """The report as one page that needs nothing else. The same report gives the same bytes."""
    text = (
        f"{report.endpoint}, {report.since} to {report.until}. A score at or above {report.cutoff:g} is the adverse "
        "decision."
    )
    return render_page(
        f"Shadow {report.shadow}",
        headline(report),
        [
            Section(
                "At a glance",
                (text,),
                facts=(
                    ("decided otherwise", percent(report.disagreement.share)),
                    ("PSI", report.psi),
                    ("KS", report.ks),
                    ("Spearman", report.spearman),
                    ("predictions scored", percent(report.coverage.share)),
                    ("median of a score", f"{report.latency.median_us:,} us"),
                    ("p99 of a score", f"{report.latency.p99_us:,} us"),
                ),
            ),
            Section(
                "Decisions",
                tables=(
                    PageTable(
                        ("answered by", "compared", "to adverse", "to approved", "share", "interval"),
                        tuple(
                            (item.model, item.flips.compared, item.flips.to_adverse, item.flips.to_approved,
                             percent(item.flips.share), between(item.flips))
                            for item in report.answered_by
                        ),
                    ),
                ),
            ),
            Section("Scores", pictures=(_scores(report),)),
            *_segments(report),
            _coverage(report),
        ],
    )  # fmt: skip


def _segments(report: ShadowReport) -> list[Section]:
    shown = flipping(report)
    if not shown:
        return [Section("Segments", ("No decision flips in any segment.",))]
    table = PageTable(
        ("feature", "segment", "compared", "to adverse", "to approved", "share", "interval"),
        tuple(
            (item.feature, item.segment, item.flips.compared, item.flips.to_adverse, item.flips.to_approved,
             percent(item.flips.share), between(item.flips))
            for item in shown
        ),
    )  # fmt: skip
    text = "Ordered by the lower end of the interval, so that a small segment comes first only where it is sure to."
    return [Section("Segments that flip most", (text,), pictures=(_flips(report, shown),), tables=(table,))]


def _coverage(report: ShadowReport) -> Section:
    coverage = report.coverage
    rows: list[tuple[str, int]] = [
        ("scored", coverage.scored),
        *((f"failed: {cause.replace('_', ' ')}", count) for cause, count in report.errors.items()),
        ("before the first that was scored", coverage.before),
        ("later, and without a score", coverage.without_score),
        ("without a vector: answered by the fallback score", coverage.without_vector),
        ("in all", coverage.predictions),
    ]
    return Section("Predictions", tables=(PageTable(("", "predictions"), tuple(rows)),))


def _scores(report: ShadowReport) -> Picture:
    scores = report.scores
    title = "Score distribution of what answered and of the shadow"
    with drawing(9.4, 3.2) as (axes, done):
        width = (scores.high - scores.low) / len(scores.answered)
        edges = [scores.low + place * width for place in range(len(scores.answered) + 1)]
        for label, colour, counts in (
            ("answered", CHAMPION, scores.answered),
            (report.shadow, MODEL, scores.shadow),
        ):
            shares = [count / sum(counts) for count in counts]
            axes.stairs(shares, edges, color=colour, linewidth=1.8, label=label)
        axes.axvline(report.cutoff, color="#333a44", linewidth=1, linestyle="--")
        axes.annotate(
            f" cut-off {report.cutoff:g}", (report.cutoff, 0.92), xycoords=("data", "axes fraction")
        )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="Score", ylabel="Share of predictions", xlim=(scores.low, scores.high))
        axes.legend(loc="upper right")
        uri = done(title)
    return Picture(uri, title, "Both of the same predictions; the share axis is logarithmic.")


def _flips(report: ShadowReport, shown: list[Segment]) -> Picture:
    title = "Share of flipped decisions by segment"
    with drawing(9.4, 0.8 + 0.3 * len(shown)) as (axes, done):
        for place, item in enumerate(reversed(shown)):
            axes.plot([item.flips.low, item.flips.high], [place, place], color=BAD, linewidth=2)
            axes.plot([item.flips.share], [place], color=BAD, marker="o", markersize=5)
        axes.axvline(report.disagreement.share, color=QUIET, linewidth=1, linestyle=":")
        axes.set_yticks(range(len(shown)), [f"{item.feature}: {item.segment}" for item in reversed(shown)])
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set(xlabel="Decided otherwise", xlim=(0, None))
        uri = done(title)
    return Picture(uri, title, "Each with its 95 % interval; dotted is the share in all.")
