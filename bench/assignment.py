"""Which arm has an entity: what asking costs, on routes of one to twenty arms, with and without a holdout.

    python -m bench.assignment

Every request asks once. Prints a table and writes build/figures/assignment.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

from bench import figures
from bench.processes import cores, on_core
from quicksilver.routing import FULL_SHARE_BP, Arm, Role, Route

ENDPOINT = "card-fraud"
BUDGET_US = 5
TAKEN = (
    "CPU of one thread for assigning each of 10,000 entities once, over their number; the median of the rounds, "
    "in which every route takes its turn. The route is prepared before, as serving does by its first request."
)
LONG = "-".join(["entity"] * 18)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    short = [f"card_{number:06d}" for number in range(10_000)]
    long = [f"{LONG}{number:03d}"[-128:] for number in range(10_000)]
    lanes = {
        "one arm": (_route(1), short),
        "canary": (_route(2), short),
        "three arms and a holdout": (_route(3, holdout_bp=100), short),
        "twenty arms and a holdout": (_route(20, holdout_bp=100), short),
        "the same, ids of 128 characters": (_route(20, holdout_bp=100), long),
    }
    with on_core(cores()[0]):
        taken: dict[str, list[float]] = {name: [] for name in lanes}
        for round_ in range(rounds + 1):
            for name, (route, entities) in lanes.items():
                cost_us = assign_us(route, entities)
                if round_:  # the first one warms up
                    taken[name].append(cost_us)
    medians = {name: statistics.median(costs) for name, costs in taken.items()}
    content: dict[str, Any] = {"assign_us": max(medians.values()), "budget_us": BUDGET_US, "routes": medians}

    table = figures.table(f"Assigning an entity to its arm (budget {BUDGET_US} us)", "route", "CPU us")
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}")
    figures.show(table)
    print(f"\nwritten: {figures.write('assignment', content, taken=TAKEN)}")


def assign_us(route: Route, entities: Sequence[str]) -> float:
    """CPU microseconds for one assignment."""
    assign = route.assign
    start = time.thread_time_ns()
    for entity in entities:
        assign(entity)
    return (time.thread_time_ns() - start) / len(entities) / 1_000


def _route(arms: int, holdout_bp: int = 0) -> Route:
    """A route whose arms beside the champion have one per cent each."""
    beside = [_arm(number, Role.CHALLENGER, 100) for number in range(2, arms + 1)]
    champion = _arm(1, Role.CHAMPION, FULL_SHARE_BP - 100 * len(beside))
    return Route(
        endpoint=ENDPOINT,
        number=1,
        salt=f"{ENDPOINT}/route",
        holdout_bp=holdout_bp,
        arms=(champion, *beside),
        author="bench",
        created_at="2026-11-23T00:00:00.000Z",
    )


def _arm(number: int, role: Role, share_bp: int) -> Arm:
    return Arm(model=f"{ENDPOINT}@{number}", package_sha256="0" * 64, role=role, share_bp=share_bp)


if __name__ == "__main__":
    main()
