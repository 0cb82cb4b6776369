"""The pictures of a drift report: its windows, its features over them, and reference against current."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.ticker import PercentFormatter

from quicksilver.drawing import BAD, CATEGORY, CHAMPION, MODEL, QUIET, drawing, drawing_of_two
from quicksilver.drift.result import Aspect
from quicksilver.report_page import Picture
from quicksilver.reports.drift import EffectPoint, FeatureDrift, ModelScores, WindowLine
from quicksilver.reports.drift_bars import Bars

INK = "#333a44"
TICKS = 9
"""The most windows that are named below a picture."""
SHORTEN = 22
"""Characters of a category's name that a picture has room for."""
WEAK, STRONG = 0.1, 10.0
"""Effects as multiples of their limit, where the colours of ``over_features`` begin and end."""

ASPECTS = {
    Aspect.DISTRIBUTION: "PSI",
    Aspect.MISSING: "share missing",
    Aspect.UNSEEN: "share unseen",
    Aspect.OUT_OF_RANGE: "share out of range",
    Aspect.APPROVAL: "share approved",
}
_HEAT = LinearSegmentedColormap.from_list("drift", ["#eef2f6", "#f4d8c4", BAD])
_COLOURS = (MODEL, CATEGORY, CHAMPION, QUIET)


class Windows:
    """The axis of time: windows by their number since the first, so that one that is missing leaves a gap."""

    def __init__(self, lines: Sequence[WindowLine]) -> None:
        self._start_ms = lines[0].start_ms
        self._length_ms = max(line.end_ms - line.start_ms for line in lines)
        self.last = self(lines[-1].start_ms)

    def __call__(self, start_ms: int) -> float:
        return (start_ms - self._start_ms) / self._length_ms

    def name(self, axes: Axes) -> None:
        """Name windows below a picture: by their day, and by their hour where they are shorter."""
        step = -(-(int(self.last) + 1) // TICKS)
        form = "%d %b" if self._length_ms >= 86_400_000 else "%d %b %H:%M"
        places = range(0, int(self.last) + 1, step)
        starts = (self._start_ms + place * self._length_ms for place in places)
        axes.set_xticks(
            list(places), [datetime.fromtimestamp(start / 1_000, UTC).strftime(form) for start in starts]
        )
        axes.set_xlim(-0.6, self.last + 0.6)


def timeline(lines: Sequence[WindowLine]) -> Picture:
    """How many predictions each window has, whether it has an alarm, and how many of the records it lacks."""
    title = "Predictions by window, those with an alarm marked"
    windows = Windows(lines)
    kinds = (
        ("alarm", BAD, [line for line in lines if line.alarms]),
        ("quiet", CATEGORY, [line for line in lines if line.judged and not line.alarms]),
        ("not judged", QUIET, [line for line in lines if not line.judged]),
    )
    with drawing(9.4, 2.7) as (axes, done):
        for label, colour, those in kinds:
            if those:
                at = [windows(line.start_ms) for line in those]
                axes.bar(at, [line.predictions for line in those], 0.8, color=colour, label=label)
        lacking = [line for line in lines if line.complete is not None and 0 < line.complete < 1]
        if lacking:
            at = [windows(line.start_ms) for line in lacking]
            missed = [line.predictions / (line.complete or 1) - line.predictions for line in lacking]
            bottom = [line.predictions for line in lacking]
            axes.bar(at, missed, 0.8, bottom=bottom, fill=False, edgecolor=QUIET, linestyle=":", label="counted, not in the archive")  # fmt: skip
        for line in lines:
            if line.alarms:
                place = (windows(line.start_ms), line.predictions / (line.complete or 1))
                axes.annotate(str(line.alarms), place, ha="center", va="bottom", fontsize=8.5, color=BAD)
        windows.name(axes)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.margins(y=0.25)
        axes.set_ylabel("Predictions")
        axes.legend(loc="upper left", ncols=4, fontsize=8.5)
        return Picture(done(title), title, "Numbers above a bar: how many findings are alarms.")


def over_features(features: Sequence[FeatureDrift], lines: Sequence[WindowLine]) -> Picture:
    """Every feature in every window: how far it drifted, as a multiple of what is worth acting on."""
    title = "How far each feature drifted in each window"
    windows = Windows(lines)
    heat = np.full((len(features), int(windows.last) + 1), np.nan)
    marks = []
    for row, feature in enumerate(features):
        for point in feature.strength:
            column = round(windows(point.start_ms))
            heat[row, column] = min(max(point.effect, WEAK), STRONG)
            if point.alarm:
                marks.append((column, row))
    x, y = np.arange(heat.shape[1] + 1) - 0.5, np.arange(heat.shape[0] + 1) - 0.5
    with drawing(9.4, 0.9 + 0.27 * len(features)) as (axes, done):
        mesh = axes.pcolormesh(
            x, y, heat, cmap=_HEAT, norm=LogNorm(WEAK, STRONG), edgecolors="white", linewidth=1.5
        )
        axes.scatter([column for column, _ in marks], [row for _, row in marks], s=14, color=INK, zorder=3)
        axes.set_yticks(range(len(features)), [feature.feature for feature in features], fontsize=8.5)
        axes.set_ylim(len(features) - 0.5, -0.5)
        windows.name(axes)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        bar = axes.figure.colorbar(mesh, ax=axes, ticks=[0.1, 1, 10], pad=0.01)
        bar.ax.set_yticklabels(["none", "limit", "10 x"], fontsize=8.5)
        bar.ax.minorticks_off()
        bar.outline.set_visible(False)
        return Picture(
            done(title), title, "A dot is an alarm. The strongest of each feature's aspects is shown."
        )


def feature(drift: FeatureDrift, lines: Sequence[WindowLine]) -> Picture:
    """Reference against current on the left, and on the right the leading aspect's effect over the windows."""
    leading = drift.leading
    title = f"{drift.feature}: reference against current, and its drift over time"
    with drawing_of_two(9.4, 2.9, same_x=False) as (bars, time, done):
        if drift.bars is None:
            bars.axis("off")
            bars.text(
                0.5, 0.5, "There is no histogram to show.", ha="center", color=QUIET, transform=bars.transAxes
            )
        else:
            _draw_bars(bars, drift.bars)
        bars.set_title(drift.feature, loc="left", fontsize=10.5, fontweight="bold")
        _draw_effects(time, drift.over_time, leading.limit, lines)
        time.set_title(f"{ASPECTS[leading.aspect]}, {drift.model}", loc="left", fontsize=10)
        return Picture(done(title), title, leading.sentence)


def score_bars(scores: ModelScores, bars: Bars) -> Picture:
    title = f"Scores of {scores.model}: reference against current"
    with drawing(9.4, 2.7) as (axes, done):
        _draw_bars(axes, bars)
        return Picture(done(title), title, "By the reference's own bins.")


def scores_over_time(models: Sequence[ModelScores], lines: Sequence[WindowLine]) -> Picture:
    """Left, how many scores are among what were the riskiest in the reference; right, how many were approved."""
    title = "Risky scores and approvals over time"
    windows = Windows(lines)
    with drawing_of_two(9.4, 2.9) as (risky, approved, done):
        for model, colour in zip(models, _COLOURS, strict=False):
            style: Any = {"color": colour, "marker": "o", "markersize": 3.5, "linewidth": 1.6}
            known = [
                (windows(point.start_ms), point.riskiest)
                for point in model.points
                if point.riskiest is not None
            ]
            if known:
                risky.plot(*zip(*known, strict=True), **style)
            at = [windows(point.start_ms) for point in model.points]
            approved.plot(at, [point.approved for point in model.points], label=model.model, **style)
            if model.expected is not None:
                risky.axhline(model.expected, color=colour, linewidth=1, linestyle=":")
        for axes in (risky, approved):
            windows.name(axes)
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
            axes.tick_params(axis="x", labelsize=8.5)
            axes.margins(y=0.2)
        risky.set_title("Scores among the reference's riskiest tenth", loc="left", fontsize=10)
        risky.set_ylim(bottom=0)
        approved.set_title("Approved", loc="left", fontsize=10)
        approved.legend(loc="best", fontsize=8.5)
        return Picture(done(title), title, "Dotted: the share in the reference itself.")


def _draw_bars(axes: Axes, bars: Bars) -> None:
    values = len(bars.labels) - bars.apart
    # What is no value of the range stands apart, behind a line.
    at = np.arange(len(bars.labels), dtype=np.float64)
    at[values:] += 0.5
    axes.bar(at - 0.2, bars.reference, 0.4, color=QUIET, alpha=0.75, label="reference")
    axes.bar(at + 0.2, bars.current, 0.4, color=MODEL, label="current")
    if bars.apart and values:
        axes.axvline(values - 0.25, color=QUIET, linewidth=0.8, linestyle=":")
    axes.set_xticks(at, [_short(label) for label in bars.labels], rotation=38, ha="right", rotation_mode="anchor", fontsize=7.5)  # fmt: skip
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.margins(y=0.22)
    axes.legend(loc="upper right", ncols=2, fontsize=8.5)


def _short(label: str) -> str:
    return label if len(label) <= SHORTEN else label[: SHORTEN - 1] + "…"


def _draw_effects(
    axes: Axes, points: Sequence[EffectPoint], limit: float, lines: Sequence[WindowLine]
) -> None:
    windows = Windows(lines)
    at, effects = [windows(point.start_ms) for point in points], [point.effect for point in points]
    axes.plot(at, effects, color=MODEL, linewidth=1.6)
    axes.scatter(at, effects, s=22, color=[BAD if point.alarm else MODEL for point in points], zorder=3)
    axes.axhline(limit, color=BAD, linewidth=1.2, linestyle="-.", label=f"limit {limit:g}")
    axes.set_ylim(min(0, *effects, limit) if effects else 0, 1.18 * max([*effects, limit]))
    windows.name(axes)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.legend(loc="upper left", fontsize=8.5)
