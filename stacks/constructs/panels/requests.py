"""The golden signals of an endpoint: traffic, errors, latency and saturation, at the gateway and in the function."""

from __future__ import annotations

from quicksilver.cost.live_functions import ProvisionedMetrics
from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import Endpoint, Stage
from stacks.constructs.widgets import MINUTE, Graph, Panel, Reckoned, Shown

VERBS = ("score", "score-batch")
_PERCENTILES = ("p50", "p90", "p99", "p99.9")


def requests(stage: Stage, endpoint: Endpoint) -> Panel:
    """What callers see: the gateway counts every request, those that it refuses by itself too."""
    function = {"FunctionName": stage.function_name(endpoint.service)}
    return Panel(
        "Requests",
        "Traffic, errors and latency as callers have them, by the gateway; below the function's own, and how much of what is "
        "provisioned is in use. Spillover starts cold and is billed on demand.",
        [
            Graph("Requests", [gateway(stage, endpoint, "Count", verb) for verb in VERBS]),
            Graph(
                "Refused (4XX) and failed (5XX)",
                [gateway(stage, endpoint, name, verb) for name in ("4XXError", "5XXError") for verb in VERBS],
            ),
            Graph(
                "Latency of score at the gateway",
                [gateway(stage, endpoint, "Latency", "score", statistic=share) for share in _PERCENTILES],
                unit="ms",
            ),
            Graph(
                "Duration of the function",
                [Shown("AWS/Lambda", "Duration", function, share, share) for share in _PERCENTILES],
                unit="ms",
                limit=("a release is taken back", endpoint.alarm_latency_ms),
            ),
            Graph(
                "Errors and throttles of the function",
                [Shown("AWS/Lambda", name, function) for name in ("Errors", "Throttles")],
            ),
            _concurrency(stage, endpoint),
        ],
    )


def answers(endpoint: Endpoint) -> Panel:
    """What became of requests, by the function's own counts: one of a batch is one here."""
    kinds = (
        Metric.REQUESTS_SCORED,
        Metric.REQUESTS_DEGRADED,
        Metric.REQUESTS_FALLBACK,
        Metric.REQUESTS_REPLAYED,
        Metric.REQUESTS_UNGUARDED,
    )
    failures = (Metric.REQUESTS_UNAVAILABLE, Metric.REQUESTS_FAILED)
    hidden = [
        _counted(endpoint, metric, id=id, hidden=True)
        for id, metric in (
            ("scored", Metric.REQUESTS_SCORED),
            ("unavailable", Metric.REQUESTS_UNAVAILABLE),
            ("failed", Metric.REQUESTS_FAILED),
        )
    ]
    unanswered = "FILL(unavailable, 0) + FILL(failed, 0)"
    answered = f"100 * scored / (scored + {unanswered})"
    return Panel(
        "Answers",
        "What the function answered. Availability is what was scored of all that should have been; a refused request is the caller's fault and in neither.",
        [
            Graph("Scored, and how", [_counted(endpoint, metric) for metric in kinds]),
            Graph(
                "Refused, unavailable, failed",
                [_counted(endpoint, metric) for metric in (Metric.REQUESTS_REFUSED, *failures)],
            ),
            Graph("Availability", [*hidden, Reckoned(answered, "answered")], period=300, unit="percent"),
        ],
    )


def gateway(
    stage: Stage,
    endpoint: Endpoint,
    name: str,
    verb: str,
    *,
    statistic: str = "Sum",
    id: str = "",
    period: int = 0,
) -> Shown:
    """A metric of one method; with an ``id`` for expressions only."""
    return Shown(
        "AWS/ApiGateway",
        name,
        {
            "ApiName": stage.scoring_api_name,
            "Method": "POST",
            "Resource": f"/v1/{endpoint.name}/{verb}",
            "Stage": stage.name,
        },
        statistic,
        statistic if statistic != "Sum" else f"{verb}: {name}",
        id=id,
        hidden=bool(id),
        period=period,
    )


def _counted(endpoint: Endpoint, metric: Metric, *, id: str = "", hidden: bool = False) -> Shown:
    dimensions = {"service": endpoint.service, "endpoint": endpoint.name}
    return Shown(NAMESPACE, metric.value, dimensions, id=id, hidden=hidden)


def _concurrency(stage: Stage, endpoint: Endpoint) -> Graph:
    function = stage.function_name(endpoint.service)
    series: list[Shown | Reckoned] = [
        Shown("AWS/Lambda", "ConcurrentExecutions", {"FunctionName": function}, "Maximum", "at work")
    ]
    if endpoint.provisioned_concurrency is not None:
        held = ProvisionedMetrics(function)
        spilled = held.spilled("spilled")
        series += [
            Shown(spilled.namespace, spilled.name, spilled.dimensions, label="spillover"),
            Reckoned(held.used("used").searched("Maximum", MINUTE), "of what is provisioned", right=True),
        ]
    return Graph("Concurrency", series)
