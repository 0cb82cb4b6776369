"""Pictures for pages that stand alone: each an SVG in a data URI. Not on the request path; needs ``matplotlib``.

Colours: Okabe & Ito's palette, which people with colour-blindness tell apart.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MODEL, CHAMPION, BAD, CATEGORY, QUIET = "#0072b2", "#e69f00", "#d55e00", "#009e73", "#8a94a0"

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": "#333a44",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": "#333a44",
    "ytick.labelcolor": "#333a44",
    "legend.frameon": False,
    # Names of the drawing's parts follow from what is drawn, so the same picture has the same bytes.
    "svg.hashsalt": "quicksilver",
    "svg.fonttype": "path",
    # Names are of others: a dollar in one is no formula.
    "text.parse_math": False,
}


class _Done:
    def __init__(self, figure: Figure) -> None:
        self._figure = figure

    def __call__(self, description: str) -> str:
        """The drawing as a data URI. ``description`` is its title, for those who cannot see it."""
        sink = io.BytesIO()
        self._figure.savefig(
            sink, format="svg", metadata={"Date": None, "Creator": None, "Title": description}
        )
        return "data:image/svg+xml;base64," + base64.b64encode(sink.getvalue()).decode()


@contextmanager
def drawing(width: float, height: float) -> Iterator[tuple[Axes, _Done]]:
    """A figure of its own, ``width`` by ``height`` inches, without pyplot's global state."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots(), _Done(figure)


@contextmanager
def drawing_of_two(width: float, height: float, *, same_x: bool = True) -> Iterator[tuple[Axes, Axes, _Done]]:
    """The same with two pictures side by side, over the same values of x if not told otherwise."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=same_x)
        yield left, right, _Done(figure)
