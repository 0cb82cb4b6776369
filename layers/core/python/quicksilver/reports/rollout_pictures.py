"""The pictures of a rollout: the canary's share, its guards with their limits, and what each arm's answers were like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from quicksilver.drawing import BAD, CATEGORY, CHAMPION, MODEL, QUIET, drawing, drawing_of_two
from quicksilver.guard_policy import GuardName
from quicksilver.instants import epoch_ms
from quicksilver.report_page import Picture
from quicksilver.reports.rollout import ArmTotal, GuardSeries, RolloutReport
from quicksilver.rollout_registry import Move
from quicksilver.rollup_counts import LATENCY_BOUNDS_US, SCORE_BINS
from quicksilver.routing import FULL_SHARE_BP

_LINES = {
    Move.ADVANCED: CATEGORY,
    Move.COMPLETED: CATEGORY,
    Move.ROLLED_BACK: BAD,
    Move.ABORTED: BAD,
    Move.PAUSED: "#333a44",
    Move.RESUMED: "#333a44",
    None: QUIET,
}
_UNITS = (
    (3 * 86_400_000, 86_400_000, "Days"),
    (3 * 3_600_000, 3_600_000, "Hours"),
    (180_000, 60_000, "Minutes"),
)


@dataclass(frozen=True, slots=True)
class _Time:
    """The axis of time: since the start of the rollout, in a unit that suits how long it was."""

    start_ms: int
    unit_ms: int
    label: str

    @classmethod
    def of(cls, report: RolloutReport) -> _Time:
        start_ms = epoch_ms(report.plan.started_at)
        took_ms = epoch_ms(report.until) - start_ms
        fitting = ((unit_ms, name) for least_ms, unit_ms, name in _UNITS if took_ms >= least_ms)
        unit_ms, name = next(fitting, (1_000, "Seconds"))
        return cls(start_ms, unit_ms, f"{name} since the start")

    def __call__(self, at_ms: int) -> float:
        return (at_ms - self.start_ms) / self.unit_ms


def _mark(axes: Axes, report: RolloutReport, time: _Time) -> None:
    """Each decision, where it was made."""
    for decision in report.decisions[1:]:
        style = ":" if decision.move is None else "--"
        axes.axvline(
            time(epoch_ms(decision.at)), color=_LINES[decision.move], linewidth=1, linestyle=style, zorder=0
        )


def shares(report: RolloutReport) -> Picture:
    """What the routes declare beside what was assigned, with each decision."""
    time = _Time.of(report)
    title = "The canary's share over time, as the routes declare it and of the requests"
    ends = [epoch_ms(report.until), *(point.at_ms for point in report.shares)]
    declared = [(report.decisions[0].at, 0), *((each.at, each.share_bp) for each in report.decisions)]
    at = [time(epoch_ms(moment)) for moment, _ in declared]
    given = [share_bp / FULL_SHARE_BP for _, share_bp in declared]
    with drawing(9.4, 3.4) as (axes, done):
        _mark(axes, report, time)
        axes.step(
            [*at, time(max(ends))],
            [*given, given[-1]],
            where="post",
            color=QUIET,
            alpha=0.6,
            linewidth=4,
            label="declared",
        )
        seen = [point for point in report.shares if point.requests]
        axes.plot(
            [time(point.at_ms) for point in seen],
            [point.canary / point.requests for point in seen],
            color=MODEL,
            marker="o",
            markersize=3 if len(seen) < 150 else 1.5,
            linewidth=1,
            drawstyle="steps-post",
            label="of requests",
        )
        for decision in report.decisions:
            if decision.move:
                axes.annotate(
                    decision.words,
                    (time(epoch_ms(decision.at)), 1.02),
                    xycoords=("data", "axes fraction"),
                    rotation=30,
                    fontsize=8.5,
                    color="#333a44",
                )
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set(xlabel=time.label, ylabel="The canary's share", ylim=(-0.03, 1.03))
        axes.legend(loc="upper left")
        uri = done(title)
    caption = "Points are of what was assigned in each period, without the holdout. Dashed: a decision that moved the route; dotted: a look that held."
    return Picture(uri, title, caption)


def guard(report: RolloutReport, series: GuardSeries) -> Picture:
    """A guard that has points: its values with the limit, and its evidence with the threshold."""
    time = _Time.of(report)
    name = series.name.replace("_", " ")
    title = f"The {name} over time with its limit, and its evidence with its threshold"
    at = [time(point.at_ms) for point in series.points]
    with drawing_of_two(9.4, 2.7) as (values, evidence, done):
        for axes in (values, evidence):
            _mark(axes, report, time)
            axes.set_xlabel(time.label)
        _values(values, at, series)
        values.set_title(name.capitalize(), loc="left", fontsize=10)
        values.legend(loc="best", fontsize=8.5)
        seen = [point.evidence for point in series.points]
        evidence.plot(at, seen, color=MODEL, linewidth=1.8, label="evidence")
        if series.threshold is not None:
            evidence.axhline(series.threshold, color=BAD, linewidth=1.2, linestyle="-.", label="threshold")
        # Far below 0 it says no more than at 0, and would press what matters flat.
        threshold = series.threshold or 0.0
        evidence.set_ylim(max(min(seen), -threshold) - 0.5, 1.08 * max(*seen, threshold) + 0.5)
        evidence.set_title("Evidence, natural logarithm of the e-value", loc="left", fontsize=10)
        evidence.legend(loc="best", fontsize=8.5)
        return Picture(done(title), title)


def _values(axes: Axes, at: Sequence[float], series: GuardSeries) -> None:
    """What is held against the limit: the rates of both arms, or of the scores the one index that compares them."""
    if series.name is GuardName.SCORE_SHIFT:
        axes.plot(
            at,
            [point.difference for point in series.points],
            color=MODEL,
            linewidth=1.8,
            label="stability index",
        )
        axes.axhline(series.limit, color=BAD, linewidth=1.2, linestyle="-.", label="limit")
        return
    ours, theirs = ([getattr(point, arm) for point in series.points] for arm in ("canary", "champion"))
    axes.plot(at, theirs, color=CHAMPION, linewidth=1.8, label="champion")
    axes.plot(at, ours, color=MODEL, linewidth=1.8, label="canary")
    for sign in (1, -1) if series.name is GuardName.APPROVAL_RATE else (1,):
        limit = [rate + sign * series.limit for rate in theirs]
        axes.plot(at, limit, color=BAD, linewidth=1.2, linestyle="-.", label="limit" if sign == 1 else None)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))


def scores(arms: Sequence[ArmTotal]) -> Picture | None:
    edges = [number / 4 - 8 for number in range(SCORE_BINS + 1)]
    return _by_arm(
        "Score distributions by arm", "Log-odds of the score", edges, [(arm, arm.scores) for arm in arms]
    )


def latency(arms: Sequence[ArmTotal]) -> Picture | None:
    edges = [0.1 * 2 ** (number / 4) for number in range(len(LATENCY_BOUNDS_US) + 2)]
    return _by_arm(
        "Latency by arm", "Milliseconds", edges, [(arm, arm.latency) for arm in arms], doubling=True
    )


def _by_arm(
    title: str,
    label: str,
    edges: Sequence[float],
    counted: Sequence[tuple[ArmTotal, Sequence[int]]],
    *,
    doubling: bool = False,
) -> Picture | None:
    """The histograms of the arms, each as shares of its own; from the first bin to the last that holds anything."""
    held = [place for _, counts in counted for place, count in enumerate(counts) if count]
    if not held:
        return None
    low, high = max(0, min(held) - 1), min(len(edges) - 1, max(held) + 2)
    with drawing(9.4, 2.9) as (axes, done):
        for arm, counts in counted:
            total = sum(counts)
            if total:
                colour = MODEL if arm is counted[0][0] else CHAMPION
                axes.stairs([count / total for count in counts], edges, color=colour, linewidth=1.8, label=f"{arm.role} {arm.model}")  # fmt: skip
        if doubling:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set(xlabel=label, ylabel="Share of answers", xlim=(edges[low], edges[high]))
        axes.legend(loc="upper right")
        return Picture(done(title), title)
