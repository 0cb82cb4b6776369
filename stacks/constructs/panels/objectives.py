"""How fast an endpoint's budgets burn, over the long windows of the alarms that watch them (docs/slo.md)."""

from __future__ import annotations

from collections.abc import Sequence

from stacks.burn_rate import BURN_RATES, BurnRate, budget
from stacks.config import Endpoint, Stage
from stacks.constructs.panels.requests import VERBS, gateway
from stacks.constructs.widgets import MINUTE, Graph, Panel, Reckoned, Shown

_Series = Sequence[Shown | Reckoned]


def objectives(stage: Stage, endpoint: Endpoint) -> Panel:
    promised = endpoint.objectives
    return Panel(
        "Objectives",
        f"{promised.availability_bp / 100:g} % of requests are answered, and {promised.latency_bp / 100:g} % of single decisions leave within "
        f"{promised.latency_ms} ms. A rate of 1 spends the budget in thirty days. What rings, and from how many bad requests on, is in docs/slo.md.",
        [
            _burning("Availability", [_unanswered(stage, endpoint, burn) for burn in BURN_RATES]),
            _burning("Latency", [_slow(stage, endpoint, burn) for burn in BURN_RATES]),
        ],
    )


def _burning(what: str, windows: Sequence[_Series]) -> Graph:
    fastest = BURN_RATES[0]
    return Graph(
        f"{what}: how many times too fast its budget burns",
        [series for window in windows for series in window],
        width=12,
        limit=(f"pages, over {fastest.long_minutes // 60} h", fastest.rate),
    )


def _unanswered(stage: Stage, endpoint: Endpoint, burn: BurnRate) -> _Series:
    """Requests that got a 5XX, of all: of single ones and batches, either may have none for a while."""
    period = burn.long_minutes * MINUTE
    hidden, sums = [], {}
    for kind, name in (("bad", "5XXError"), ("total", "Count")):
        ids = [f"{kind}{burn.name}_{number}" for number in range(len(VERBS))]
        hidden += [
            gateway(stage, endpoint, name, verb, id=id, period=period)
            for id, verb in zip(ids, VERBS, strict=True)
        ]
        sums[kind] = " + ".join(f"FILL({id}, 0)" for id in ids)
    spent = budget(endpoint.objectives.availability_bp)
    return [*hidden, _rate(f"({sums['bad']}) / ({sums['total']}) / {spent:.4f}", burn)]


def _slow(stage: Stage, endpoint: Endpoint, burn: BurnRate) -> _Series:
    """Single decisions that took longer than promised: ``PR(:200)`` is the percentage of 200 ms and less."""
    promised = endpoint.objectives
    id = f"in_time{burn.name}"
    in_time = gateway(
        stage,
        endpoint,
        "Latency",
        "score",
        statistic=f"PR(:{promised.latency_ms})",
        id=id,
        period=burn.long_minutes * MINUTE,
    )
    return [in_time, _rate(f"(100 - {id}) / 100 / {budget(promised.latency_bp):.4f}", burn)]


def _rate(expression: str, burn: BurnRate) -> Reckoned:
    return Reckoned(expression, f"over {burn.long_minutes // 60} h", period=burn.long_minutes * MINUTE)
