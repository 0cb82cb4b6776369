"""What goes into an endpoint's scores: features as they were read, models as they were loaded and evaluated."""

from __future__ import annotations

from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import Endpoint
from stacks.constructs.widgets import Graph, Panel, Reckoned, Shown


def features(endpoint: Endpoint) -> Panel:
    dimensions = {"service": endpoint.service, "endpoint": endpoint.name}

    def counted(metric: Metric, *, id: str = "", hidden: bool = False) -> Shown:
        return Shown(NAMESPACE, metric.value, dimensions, id=id, hidden=hidden)

    return Panel(
        "Features and models",
        "A degraded answer had a feature that was missing, stale, late or out of range, and its policy applied; the record says which.",
        [
            Graph(
                "Degraded and stale, of what was scored",
                [
                    counted(Metric.REQUESTS_SCORED, id="scored", hidden=True),
                    counted(Metric.REQUESTS_DEGRADED, id="degraded", hidden=True),
                    counted(Metric.REQUESTS_STALE, id="stale", hidden=True),
                    Reckoned("100 * FILL(degraded, 0) / scored", "degraded"),
                    Reckoned("100 * FILL(stale, 0) / scored", "stale"),
                ],
                period=300,
                unit="percent",
            ),
            Graph("Reads of features that failed", [counted(Metric.FEATURE_READS_FAILED)]),
            Graph(
                "Models",
                [
                    counted(metric)
                    for metric in (
                        Metric.ROUTE_REFRESH_FAILED,
                        Metric.MODELS_NOT_EVALUATED,
                        Metric.EXPLAINED_BY_LIGHTGBM,
                        Metric.ADDITIVITY_FAILED,
                        Metric.REQUESTS_FALLBACK,
                    )
                ],
            ),
        ],
    )
