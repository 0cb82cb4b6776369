"""The model card's pictures. Training side; never in a layer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import NullFormatter

from quicksilver.contract import FeatureType
from quicksilver.drawing import BAD, CATEGORY, MODEL, QUIET, drawing
from quicksilver.frame import Bools, Floats
from quicksilver.gates.statistics import roc_components
from quicksilver.package import Package

CALIBRATION_BINS = 10
RARE_SPREAD = 30
"""From this ratio of the highest mean score to the lowest on, linear axes would crowd all bins but one in a corner."""
SHAP_ROWS = 500
SHAP_FEATURES = 15


@dataclass(frozen=True, slots=True)
class Curve:
    """One model's scores on the evaluation rows, shape ``(rows,)``."""

    label: str
    colour: str
    scores: Floats


def roc(curves: Sequence[Curve], target: Bools) -> str:
    """True against false positive rate of each model, with its AUC."""
    with drawing(4.6, 4.2) as (axes, done):
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
        for curve in curves:
            order = np.argsort(-curve.scores, kind="stable")
            # Tied scores are one threshold: only the last row of each tie is a point of the curve.
            corner = np.append(np.diff(curve.scores[order]) != 0, True)
            caught = np.append(0, np.cumsum(target[order])[corner]) / target.sum()
            alarmed = np.append(0, np.cumsum(~target[order])[corner]) / (~target).sum()
            auc = roc_components(curve.scores, target).auc
            axes.plot(alarmed, caught, color=curve.colour, linewidth=2, label=f"{curve.label}: AUC {auc:.3f}")
        axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(0, 1), ylim=(0, 1.005))
        axes.set_aspect("equal")
        axes.legend(loc="lower right")
        return done("ROC curve")


def calibration(curves: Sequence[Curve], target: Bools) -> str:
    """Observed bad rate against mean score, in bins of as many bad rows each, so that a rare outcome leaves none
    empty; on logarithmic axes where scores span orders of magnitude."""
    with drawing(4.6, 4.2) as (axes, done):
        points = []
        for curve in curves:
            edges = np.unique(
                np.quantile(curve.scores[target], np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS)
            )
            bins = np.searchsorted(edges, curve.scores, side="right")
            means = [
                (float(curve.scores[bins == b].mean()), float(target[bins == b].mean()))
                for b in range(len(edges) + 1)
                if (bins == b).any()
            ]
            points += means
            axes.plot(
                *zip(*means, strict=True), color=curve.colour, marker="o", markersize=5, label=curve.label
            )
        high = max(max(point) for point in points) * 1.25
        low = 0.0
        if high > RARE_SPREAD * min(mean for mean, _ in points):
            low = min(value for point in points for value in point if value > 0) * 0.8
            axes.set(xscale="log", yscale="log")
        axes.plot([low, high], [low, high], color=QUIET, linewidth=1, linestyle=":", zorder=0)
        axes.set(xlabel="Mean score", ylabel="Observed bad rate", xlim=(low, high), ylim=(low, high))
        axes.set_aspect("equal")
        axes.legend(loc="upper left")
        return done("Calibration: observed bad rate against mean score")


def score_distribution(scores: Floats, target: Bools, cutoff: float | None) -> str:
    """Histograms of the good rows' and the bad rows' scores, each as a share of its own, with the cut-off."""
    with drawing(9.4, 3.0) as (axes, done):
        edges = np.linspace(0, 1, 51).tolist()
        for rows, colour, label in ((~target, MODEL, "good"), (target, BAD, "bad")):
            share = np.full(int(rows.sum()), 1 / rows.sum())
            axes.hist(
                scores[rows],
                bins=edges,
                weights=share,
                histtype="stepfilled",
                facecolor=(colour, 0.25),
                edgecolor=colour,
                linewidth=1.5,
                label=f"{label}, {rows.sum():,} rows",
            )
        if cutoff is not None:
            axes.axvline(cutoff, color="#333a44", linewidth=1, linestyle="--")
            axes.annotate(f" cut-off {cutoff:g}", (cutoff, 0.92), xycoords=("data", "axes fraction"))
        # A rare outcome leaves all but a few good rows in the first bin; the rest must be seen too.
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(
            lambda value, _: f"{value:.3%}".rstrip("%").rstrip("0").rstrip(".") + " %"
        )
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="Score", ylabel="Share of rows", xlim=(0, 1))
        axes.legend(loc="upper right")
        return done("Score distribution by outcome")


def shap_summary(package: Package, vectors: Floats) -> str:
    """SHAP values of up to ``SHAP_ROWS`` rows for the features that move scores most; colour is the feature's own value.

    ``shap`` computes them (Lundberg et al. 2020, tree path dependent), in raw-score units.
    """
    chosen = vectors[np.linspace(0, len(vectors) - 1, min(SHAP_ROWS, len(vectors))).astype(int)]
    values = shap_values(package, chosen)
    strength = np.abs(values).mean(axis=0)
    top = [int(i) for i in np.argsort(-strength, kind="stable")[:SHAP_FEATURES] if strength[i] > 0]
    names = package.contract.names
    with drawing(9.4, 0.8 + 0.36 * max(len(top), 3)) as (axes, done):
        colours = mpl.colors.LinearSegmentedColormap.from_list("low to high", [MODEL, "#c9ced6", BAD])
        for row, feature in enumerate(reversed(top)):
            x, own = values[:, feature], chosen[:, feature]
            known = ~np.isnan(own)
            y = row + _swarm(x)
            axes.scatter(x[~known], y[~known], s=7, color="#d5d9df", linewidths=0)
            if package.contract.features[feature].type is FeatureType.CATEGORY:
                axes.scatter(x[known], y[known], s=7, color=CATEGORY, linewidths=0)
                continue
            colour = _rank(own[known])
            axes.scatter(x[known], y[known], s=7, c=colour, cmap=colours, vmin=0, vmax=1, linewidths=0)
        axes.axvline(0, color=QUIET, linewidth=1, zorder=0)
        axes.set_yticks(range(len(top)), [f"{names[i]}   {strength[i]:.3f}" for i in reversed(top)])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set(xlabel="Contribution to the raw score (left: safer, right: riskier)")
        axes.set_ylim(-0.6, max(len(top), 1) - 0.4)
        return done("SHAP summary")


def shap_values(package: Package, vectors: Floats) -> Floats:
    """Contributions by ``shap.TreeExplainer``, shape ``(rows, features)``."""
    import lightgbm
    import shap

    booster = lightgbm.Booster(model_str=package.model_text.decode())
    booster.params.setdefault("objective", "binary")
    with warnings.catch_warnings():
        # It warns on every call that its answer has had another shape before; both are read below.
        warnings.simplefilter("ignore", UserWarning)
        values = shap.TreeExplainer(booster, feature_perturbation="tree_path_dependent").shap_values(
            vectors, check_additivity=False
        )
    return np.asarray(values[1] if isinstance(values, list) else values, dtype=np.float64)


def _swarm(x: Floats) -> Floats:
    """Offsets within +-0.38 that spread points where many have the same place, alike on every run."""
    bins = np.clip(((x - x.min()) / (np.ptp(x) or 1.0) * 90).astype(int), 0, 90)
    offsets = np.zeros(len(x))
    most = np.bincount(bins).max()
    for place in np.unique(bins):
        members = np.flatnonzero(bins == place)
        # Alternating up and down from the line: 0, 1, -1, 2, -2, ...
        steps = np.arange(1, len(members) + 1) // 2 * np.where(np.arange(len(members)) % 2, 1, -1)
        offsets[members] = steps / max(most / 2, 6) * 0.38
    return offsets


def _rank(values: Floats) -> Floats:
    """Values as ranks from 0 to 1, so that one outlier does not take all the colour; ties are alike."""
    distinct, place = np.unique(values, return_inverse=True)
    return place / max(len(distinct) - 1, 1)
