"""Months of traffic simulated: how often the objectives' alarms call for nothing, and how soon they call for something.

    python -m bench.sim_slo

The alarms are those of a synthesized template, metric math and composite rules, as CloudWatch would evaluate them; requests and
failures of each minute are drawn. Prints two tables and writes build/figures/slo_sim.json.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from bench import figures
from bench.alarm_states import Requests, States, Traffic
from bench.objective_alarms import EndpointAlarms, alarms_of_endpoint
from stacks.burn_rate import budget
from stacks.config import Objectives, load_stage

HOUR, DAY = 60, 24 * 60
MONTH = 30 * DAY
PROMISED = Objectives(availability_bp=9_990)
BUDGET = budget(PROMISED.availability_bp)
VOLUMES = {"a request a minute": 1, "a request a second": 60, "100 requests a second": 6_000}
CALM = {"half the budget": 0.5, "the whole budget": 1.0}
BEFORE = 4 * DAY
INCIDENTS = {"everything fails": 1.0, "10 % fail": 0.1, "1 % fails (10x)": 0.01, "0.2 % fail (2x)": 0.002}
"""What goes wrong, and the share of requests that fail by it, after four days of half the budget."""


@dataclass(frozen=True)
class Incident:
    """Minutes until each topic was told, by run; ``None`` where it was not within four days."""

    page: list[int | None]
    ticket: list[int | None]


def months(alarms: EndpointAlarms, volume: int, share: float, runs: int, seed: int) -> dict[str, float]:
    """Calls a month of a service whose requests fail by chance with this share."""
    random = np.random.default_rng(seed)
    told = {"page": 0, "ticket": 0}
    for _ in range(runs):
        count = random.poisson(volume, MONTH)
        calls = alarms.calls(_traffic(count, random.binomial(count, share)))
        for topic, states in calls.items():
            told[topic] += _beginnings(states)
    return {topic: calls / runs for topic, calls in told.items()}


def incident(alarms: EndpointAlarms, volume: int, share: float, runs: int, seed: int) -> Incident:
    random = np.random.default_rng(seed)
    found = Incident([], [])
    for _ in range(runs):
        count = random.poisson(volume, BEFORE + 4 * DAY)
        shares = np.where(np.arange(len(count)) < BEFORE, BUDGET / 2, share)
        calls = alarms.calls(_traffic(count, random.binomial(count, shares)))
        found.page.append(_first(calls["page"]))
        found.ticket.append(_first(calls["ticket"]))
    return found


def _traffic(count: Any, failed: Any) -> Traffic:
    none = np.zeros(len(count))
    return Traffic({"score": Requests(count.astype(float), failed.astype(float), none)}, {})


def _beginnings(states: States) -> int:
    return int(np.sum(states[1:] & ~states[:-1]) + states[0])


def _first(states: States) -> int | None:
    """Minutes from the incident's beginning until a call that began with it."""
    found = np.flatnonzero(states[BEFORE:])
    return int(found[0]) + 1 if len(found) else None


def _summary(minutes: list[int | None]) -> dict[str, float | None]:
    told = [item for item in minutes if item is not None]
    return {
        "told": len(told) / len(minutes),
        "median_minutes": float(np.median(told)) if told else None,
        "latest_minutes": max(told, default=None),
    }


def _words(summary: dict[str, float | None]) -> str:
    if not summary["told"]:
        return "no"
    after = f"{_time(summary['median_minutes'])}, latest {_time(summary['latest_minutes'])}"
    return after if summary["told"] == 1 else f"{summary['told']:.0%}: {after}"


def _time(minutes: float | None) -> str:
    assert minutes is not None  # noqa: S101 - there is one where somebody was told
    return f"{minutes:.0f} min" if minutes < 2 * HOUR else f"{minutes / HOUR:.1f} h"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=100)
    parser.add_argument("--incidents", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=figures.FIGURES)
    asked = parser.parse_args()
    stage = load_stage("dev")
    alarms = alarms_of_endpoint(stage, replace(stage.endpoints[0], objectives=PROMISED))

    calm = figures.table("calls a month of a service that is well", "traffic", "failures", "pages", "tickets")
    late = figures.table("how soon a call comes", "traffic", "what happens", "page", "ticket")
    content: dict[str, Any] = {"calm": [], "incidents": []}
    with Progress(console=Console(width=figures.WIDTH, stderr=True), transient=True) as progress:
        task = progress.add_task("months", total=len(VOLUMES) * (len(CALM) + len(INCIDENTS)))
        for seed, (traffic, volume) in enumerate(VOLUMES.items()):
            for failures, of_budget in CALM.items():
                told = months(alarms, volume, of_budget * BUDGET, asked.months, seed)
                calm.add_row(traffic, failures, f"{told['page']:.2f}", f"{told['ticket']:.2f}")
                content["calm"].append({"traffic": traffic, "failures": failures, **told})
                progress.advance(task)
            for what, share in INCIDENTS.items():
                found = incident(alarms, volume, share, asked.incidents, seed)
                page, ticket = _summary(found.page), _summary(found.ticket)
                late.add_row(traffic, what, _words(page), _words(ticket))
                content["incidents"].append(
                    {"traffic": traffic, "what": what, "page": page, "ticket": ticket}
                )
                progress.advance(task)
    figures.show(calm)
    figures.show(late)
    written = figures.write(
        "slo_sim",
        content,
        taken=(
            f"{asked.months} months of calm traffic and {asked.incidents} incidents of each kind, availability of 99.9 %, "
            "by the metric math and the rules of a synthesized template"
        ),
        folder=asked.folder,
    )
    Console(width=figures.WIDTH).print(f"written to {written}")


if __name__ == "__main__":
    main()
