"""What each arm of an endpoint decides, as the rollup tells it: an arm goes by its role, the holdout apart."""

from __future__ import annotations

from quicksilver.metrics import NAMESPACE, Metric
from quicksilver.rollup.telling import HOLDOUT
from quicksilver.routing import Role
from stacks.config import Endpoint
from stacks.constructs.widgets import Graph, Panel, Reckoned, Shown

_ARMS = (*(role.value for role in Role if role is not Role.SHADOW), HOLDOUT)
_PERIOD = 300


def arms(endpoint: Endpoint) -> Panel:
    return Panel(
        "Arms",
        "Decisions, errors, approvals and scores by arm, counted off the stream some seconds later. An arm is a role here; which model version "
        f"has it, `quicksilver route show --endpoint {endpoint.name}` says, and the rollup counts by it.",
        [
            Graph("Decisions", [_arm(endpoint, arm, Metric.ARM_DECISIONS) for arm in _ARMS], stacked=True),
            _share(endpoint, "Errors", Metric.ARM_ERRORS, "{part} / {decisions}", "percent", 100),
            _share(
                endpoint, "Degraded", Metric.ARM_DEGRADED, "{part} / ({decisions} - {errors})", "percent", 100
            ),
            _share(
                endpoint, "Approved", Metric.ARM_APPROVED, "{part} / ({decisions} - {errors})", "percent", 100
            ),
            _share(
                endpoint,
                "Mean score",
                Metric.ARM_SCORE_SUM,
                "{part} / ({decisions} - {errors})",
                "score",
                0.0001,
            ),
        ],
    )


def _share(endpoint: Endpoint, title: str, part: Metric, of: str, unit: str, times: float) -> Graph:
    """``part`` of an arm's decisions, or of those that were no errors."""
    series: list[Shown | Reckoned] = []
    for arm in _ARMS:
        ids = {name: f"{name}_{arm}" for name in ("decisions", "errors", "part")}
        for name, metric in (
            ("decisions", Metric.ARM_DECISIONS),
            ("errors", Metric.ARM_ERRORS),
            ("part", part),
        ):
            series.append(_arm(endpoint, arm, metric, id=ids[name], hidden=True))
        series.append(Reckoned(f"{times:f} * {of.format(**ids)}", arm))
    return Graph(title, series, period=_PERIOD, unit=unit)


def _arm(endpoint: Endpoint, arm: str, metric: Metric, *, id: str = "", hidden: bool = False) -> Shown:
    return Shown(
        NAMESPACE,
        metric.value,
        {"service": "rollup", "endpoint": endpoint.name, "arm": arm},
        label=arm,
        id=id,
        hidden=hidden,
    )
