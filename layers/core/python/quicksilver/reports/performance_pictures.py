"""The pictures of a performance report: AUC over time, how labels mature, and what scores have meant."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from quicksilver.drawing import BAD, CATEGORY, CHAMPION, MODEL, QUIET, drawing
from quicksilver.report_page import Picture
from quicksilver.reports.performance import PerformanceReport

Moments: TypeAlias = NDArray[np.datetime64]

_COLOURS = (MODEL, CHAMPION, CATEGORY, BAD)


def _colours(report: PerformanceReport) -> dict[str, str]:
    models = sorted({window.model for window in report.windows})
    return {model: _COLOURS[place % len(_COLOURS)] for place, model in enumerate(models)}


def _moments(epochs_ms: list[int]) -> Moments:
    return np.array(epochs_ms, dtype="datetime64[ms]")


def auc_over_time(report: PerformanceReport) -> Picture:
    """Each window's AUC as it was estimated and, where it has labels, as it was realised."""
    title = "The AUC of each window, estimated before labels and realised with its interval"
    with drawing(9.4, 3.6) as (axes, done):
        for model, colour in _colours(report).items():
            windows = [window for window in report.windows if window.model == model]
            at = _moments([(window.window.start_ms + window.window.end_ms) // 2 for window in windows])
            axes.plot(
                at,
                [np.nan if window.estimated.auc is None else window.estimated.auc for window in windows],
                color=colour, linewidth=1, linestyle="--", label=f"{model}, estimated",
            )  # fmt: skip
            found = [
                (day, window.realised.auc, *window.auc_interval, window.judged, window.degraded)
                for day, window in zip(at, windows, strict=True)
                if window.realised and window.realised.auc is not None and window.auc_interval
            ]
            for day, auc, low, high, judged, degraded in found:
                axes.errorbar(
                    [day], [auc], yerr=[[auc - low], [high - auc]], color=BAD if degraded else colour, linewidth=1,
                    marker="o", markersize=4, markerfacecolor=None if judged else "white", capsize=2,
                )  # fmt: skip
            reference = next((w.reference_auc for w in windows if w.reference_auc is not None), None)
            if reference is not None:
                axes.axhline(reference, color=colour, linewidth=1, alpha=0.4)
        axes.set(ylabel="AUC")
        axes.set_xlim(*_moments([report.span.start_ms, report.span.end_ms]))
        if report.windows:
            axes.legend(loc="lower left")
        uri = done(title)
    caption = (
        "Full points are judged: their labels are ripe. Open points are of the labels that have come so far, and may move. "
        "Red: degraded. The faint line is the AUC at training."
    )
    return Picture(uri, title, caption)


def maturity(report: PerformanceReport) -> Picture:
    """The share of predictions that have a label, by age."""
    title = "The share of predictions that have a label, by their age in days"
    curve = report.curve
    with drawing(9.4, 3.0) as (axes, done):
        axes.step(np.arange(len(curve.known)), curve.known, where="post", color=MODEL)
        if curve.ever:
            ripe = curve.ever * report.policy.performance.ripe_share
            axes.axhline(ripe, color=QUIET, linewidth=1, linestyle="--")
            axes.annotate("ripe", (curve.label_days, ripe), ha="right", va="bottom", color="#333a44")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set(
            xlabel="Days since the prediction",
            ylabel="With a label",
            ylim=(0, None),
            xlim=(0, curve.label_days),
        )
        uri = done(title)
    caption = (
        "The product-limit estimate: predictions that have no label yet count for the days they have lived."
    )
    return Picture(uri, title, caption)


def reliability(report: PerformanceReport) -> Picture | None:
    """What scores have meant: the share of bad ones in each tenth of the labelled predictions."""
    if not report.reliability:
        return None
    title = "The share of bad outcomes in each tenth of the labelled predictions, by their mean score"
    top = max(max(point.score, point.bad_share) for point in report.reliability) * 1.05 or 1.0
    with drawing(4.7, 4.0) as (axes, done):
        axes.plot([0, top], [0, top], color=QUIET, linewidth=1)
        for model, colour in _colours(report).items():
            points = [point for point in report.reliability if point.model == model]
            axes.plot(
                [point.score for point in points], [point.bad_share for point in points],
                color=colour, marker="o", markersize=4, linewidth=1, label=model,
            )  # fmt: skip
        axes.set(xlabel="Mean score", ylabel="Share of bad outcomes", xlim=(0, top), ylim=(0, top))
        axes.legend(loc="upper left")
        uri = done(title)
    return Picture(uri, title, "On the line a score is the probability that it claims to be.")
