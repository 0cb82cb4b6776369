"""What is being spent: the bill of ``quicksilver cost`` from live metrics, an hour, a day, and a million decisions."""

from __future__ import annotations

from collections.abc import Sequence

from quicksilver.cost.live import NOT_MEASURED, LiveBill
from quicksilver.cost.live_metrics import LiveMetric
from quicksilver.cost.prices import PriceTable
from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import Endpoint
from stacks.constructs.widgets import DAY, HOUR, Graph, Panel, Reckoned, Shown

_TOTAL = "total"


def cost(bill: LiveBill, endpoints: Sequence[Endpoint], prices: PriceTable, *, whole: bool) -> Panel:
    """``whole`` says that the bill is of the stage; else it is of one endpoint, by itself."""
    missing = "; ".join(f"{what} ({reason})" for what, reason in sorted(NOT_MEASURED.items()))
    of = (
        f"Everything but what no metric gives: {missing}."
        if whole
        else "The endpoint's requests at the gateway and its function; what all endpoints share is on the stage's dashboard."
    )
    return Panel(
        "Cost",
        f"US dollars by list prices of {prices.region}, looked up on {prices.looked_up.isoformat()}, as `quicksilver cost` reckons. {of}",
        [
            Graph(
                "Dollars an hour, by line",
                _series(bill, HOUR, lines=True),
                period=HOUR,
                stacked=True,
                width=12,
            ),
            Graph(
                "Dollars an hour",
                [*_series(bill, HOUR), Reckoned(bill.total, "dollars", _TOTAL)],
                period=HOUR,
                numbers=True,
                width=6,
            ),
            Graph(
                "Dollars a day",
                [*_series(bill, DAY), Reckoned(bill.total, "dollars", _TOTAL)],
                period=DAY,
                numbers=True,
                width=6,
            ),
            Graph(
                "Dollars a million decisions",
                [
                    *_series(bill, HOUR),
                    Reckoned(bill.total, "together", _TOTAL, hidden=True),
                    *_million(endpoints),
                ],
                period=HOUR,
                width=12,
            ),
        ],
    )


def _series(bill: LiveBill, period: int, *, lines: bool = False) -> list[Shown | Reckoned]:
    metrics: list[Shown | Reckoned] = [_metric(metric, period) for metric in bill.metrics]
    reckoned = [Reckoned(line.expression, line.what, line.id, hidden=not lines) for line in bill.lines]
    return [*metrics, *reckoned]


def _metric(metric: LiveMetric, period: int) -> Shown | Reckoned:
    if metric.search:
        return Reckoned(
            f"MAX({metric.searched(metric.statistic, period)})", metric.name, metric.id, hidden=True
        )
    return Shown(
        metric.namespace, metric.name, metric.dimensions, metric.statistic, id=metric.id, hidden=True
    )


def _million(endpoints: Sequence[Endpoint]) -> list[Shown | Reckoned]:
    scored: list[Shown | Reckoned] = [
        Shown(
            NAMESPACE,
            Metric.REQUESTS_SCORED.value,
            {"service": endpoint.service, "endpoint": endpoint.name},
            id=f"scored{number}",
            hidden=True,
        )
        for number, endpoint in enumerate(endpoints)
    ]
    decisions = " + ".join(f"FILL(scored{number}, 0)" for number in range(len(endpoints)))
    return [
        *scored,
        Reckoned(decisions, "decisions", "decisions", hidden=True),
        Reckoned(f"IF(decisions > 0, {_TOTAL} / decisions * 1000000)", "dollars a million"),
    ]
