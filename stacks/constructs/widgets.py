"""The words that a dashboard is written in: metrics, expressions over them, graphs of both, and text.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH = 24
"""Columns of a dashboard."""

MINUTE, HOUR, DAY = 60, 3_600, 86_400

Widget = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """A metric in a graph. With an ``id`` expressions can use it; ``hidden`` it is for them only; ``right`` it has the other axis.

    ``period`` is in seconds where it is not that of the graph.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str = "Sum"
    label: str = ""
    id: str = ""
    hidden: bool = False
    right: bool = False
    period: int = 0

    def written(self) -> list[Any]:
        options: dict[str, Any] = {"stat": self.statistic, "label": self.label or self.name}
        if self.id:
            options["id"] = self.id
        if self.hidden:
            options["visible"] = False
        if self.right:
            options["yAxis"] = "right"
        if self.period:
            options["period"] = self.period
        named = [part for item in self.dimensions.items() for part in item]
        return [self.namespace, self.name, *named, options]


@dataclass(frozen=True, slots=True)
class Reckoned:
    """An expression over the metrics of the same graph, or a search for metrics."""

    expression: str
    label: str
    id: str = ""
    hidden: bool = False
    right: bool = False
    period: int = 0

    def written(self) -> list[Any]:
        options: dict[str, Any] = {"expression": self.expression, "label": self.label}
        if self.id:
            options["id"] = self.id
        if self.hidden:
            options["visible"] = False
        if self.right:
            options["yAxis"] = "right"
        if self.period:
            options["period"] = self.period
        return [options]


@dataclass(frozen=True, slots=True)
class Graph:
    """A picture of metrics over time. ``limit`` draws a line with what it says at a value."""

    title: str
    series: Sequence[Shown | Reckoned]
    period: int = MINUTE
    unit: str = ""
    stacked: bool = False
    numbers: bool = False
    width: int = 8
    height: int = 6
    limit: tuple[str, float] | None = None

    def widget(self, region: str) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "title": self.title,
            "region": region,
            "view": "singleValue" if self.numbers else "timeSeries",
            "period": self.period,
            "metrics": [series.written() for series in self.series],
        }
        if not self.numbers:
            properties["stacked"] = self.stacked
            left: dict[str, Any] = {"min": 0}
            if self.unit:
                left |= {"label": self.unit, "showUnits": False}
            properties["yAxis"] = {"left": left}
        if self.limit is not None:
            label, value = self.limit
            properties["annotations"] = {"horizontal": [{"label": label, "value": value}]}
        return {"type": "metric", "properties": properties}


@dataclass(frozen=True, slots=True)
class Text:
    """Markdown across the dashboard."""

    markdown: str
    width: int = WIDTH
    height: int = 2

    def widget(self, _: str) -> dict[str, Any]:
        return {"type": "text", "properties": {"markdown": self.markdown}}


@dataclass(frozen=True, slots=True)
class Panel:
    """What belongs together: a line of text that says what it means, and the graphs below it."""

    title: str
    meaning: str
    graphs: Sequence[Graph] = field(default_factory=tuple)

    def parts(self) -> list[Text | Graph]:
        return [Text(f"## {self.title}\n{self.meaning}"), *self.graphs]


def laid_out(panels: Iterable[Panel], region: str) -> list[Widget]:
    """The widgets of panels with their places: from left to right, and a new row where the next does not fit."""
    widgets: list[Widget] = []
    x = y = row = 0
    for part in (part for panel in panels for part in panel.parts()):
        if x + part.width > WIDTH:
            x, y, row = 0, y + row, 0
        widgets.append({**part.widget(region), "x": x, "y": y, "width": part.width, "height": part.height})
        x, row = x + part.width, max(row, part.height)
    return widgets
