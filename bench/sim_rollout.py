"""Rollouts simulated by the thousand: how often a good canary is rolled back, and how early a bad one is.

    python -m bench.sim_rollout

Each is judged by the product's own verdict, at a random second of every minute, with that minute partly filled: 50 requests
per second, steps of 1, 5, 25, 50 and 100 %, ten minutes' bake. Prints a table and writes build/figures/rollout_sim.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy.stats import binomtest

from bench import figures
from bench.simulated_traffic import Behaviour, Entities, Traffic, design_effect
from quicksilver.guard_policy import Guards, Limits, Weights
from quicksilver.instants import utc_iso
from quicksilver.rollout.look import Look, Verdict, comparison_of, judge
from quicksilver.rollout_plan import Rollout
from quicksilver.rollup_counts import ArmCounts, ArmKey, Period
from quicksilver.routing import Role

CHAMPION, CANARY = "card-fraud@1", "card-fraud@2"
STEPS_BP = (100, 500, 2_500, 5_000, 10_000)
BAKE_MINUTES = 10
HISTORY_MINUTES = 10
LEAST_MINUTES = BAKE_MINUTES * (len(STEPS_BP) - 1)
MOST_MINUTES = 180
"""A rollout that has come to no end by then is counted as held."""

CAUGHT_BEFORE_BP = 2_500
MINUTE_MS = 60_000
START_MS = 1_764_158_400_000

HEAVY = Entities()
GOOD = Behaviour()
DEFAULT = Guards()


@dataclass(frozen=True)
class Scenario:
    """``bad`` canaries are to be caught; those that are ``promised`` make the figure by which the guards are judged."""

    name: str
    champion: Behaviour = GOOD
    canary: Behaviour = GOOD
    drift: float = 0.0
    entities: Entities | None = None
    guards: Guards = DEFAULT
    promised: bool = True

    @property
    def bad(self) -> bool:
        return self.champion != self.canary


def _shifted(base: float, by: float) -> Scenario:
    canary = min(base + by, 0.9999)
    name = f"approval {base:.2f} -> {base + by:.2f}"
    return Scenario(name, Behaviour(approval=base), Behaviour(approval=canary))


AS_THE_CHAMPION = "as the champion"
HEAVY_DECLARED = Guards(requests_per_entity=round(design_effect(HEAVY, 3_000 * LEAST_MINUTES), 1))
WITHOUT_SCORES = Guards(limits=Limits(score_shift=100), weights=Weights(score_shift=0))
FEWER_APPROVALS = Behaviour(approval=0.9)
SCENARIOS = (
    Scenario(AS_THE_CHAMPION),
    Scenario("as the champion, approval 0.50", Behaviour(approval=0.5), Behaviour(approval=0.5)),
    Scenario("as the champion, rates drift over the day", drift=0.5),
    Scenario("as the champion, heavy entities, not declared", entities=HEAVY),
    Scenario("as the champion, heavy entities, declared", entities=HEAVY, guards=HEAVY_DECLARED),
    *(_shifted(base, by) for base in (0.95, 0.9, 0.8, 0.5) for by in (-0.05, 0.05)),
    Scenario("error rate 2 %", canary=Behaviour(error=0.02)),
    Scenario("slow tail 1 % -> 5 %", canary=Behaviour(tail=0.05)),
    Scenario("approval 0.95 -> 0.90, scores not compared", canary=FEWER_APPROVALS, guards=WITHOUT_SCORES),
    Scenario(
        "approval 0.95 -> 0.90, heavy entities, declared",
        canary=FEWER_APPROVALS,
        entities=HEAVY,
        guards=HEAVY_DECLARED,
        promised=False,
    ),
)


@dataclass(frozen=True)
class End:
    """How a rollout ended, after how many minutes, at which share, and by which guards."""

    verdict: Verdict
    minutes: int
    share_bp: int
    guards: tuple[str, ...] = ()


Watcher = Callable[[Rollout, Sequence[Period], int, Look], None]


def simulate(scenario: Scenario, seed: Sequence[int], watch: Watcher | None = None) -> End:
    """One rollout from its start to its end. ``watch`` is shown each look with what was looked at."""
    random = np.random.default_rng(list(seed))
    traffic = Traffic(
        scenario.champion, scenario.canary, random, drift=scenario.drift, entities=scenario.entities
    )
    second = random.uniform(0.02, 0.98)
    rollout = Rollout(
        number=1,
        model=CANARY,
        steps_bp=STEPS_BP,
        bake_seconds=BAKE_MINUTES * 60,
        guards=scenario.guards,
        started_at=utc_iso(START_MS),
        step_at=utc_iso(START_MS),
    )
    history = traffic.parts(0, [(minute, minute + 1) for minute in range(-HISTORY_MINUTES, 0)])
    periods = [_period(minute, counts) for minute, counts in enumerate(history, -HISTORY_MINUTES)]
    comparison = comparison_of(rollout, CHAMPION)
    for period in periods:
        comparison = comparison.after(period)
    spans = [
        span
        for minute in range(MOST_MINUTES)
        for span in ((minute, minute + second), (minute + second, minute + 1))
    ]
    ahead: Iterator[tuple[ArmCounts, ArmCounts]] = iter(())
    drawn = 0

    def following(place: int, *, anew: bool = False) -> tuple[ArmCounts, ArmCounts]:
        nonlocal ahead, drawn
        if anew or place >= drawn:
            drawn = min(place + 2 * BAKE_MINUTES, len(spans))
            ahead = traffic.parts(rollout.share_bp, spans[place:drawn])
        return next(ahead)

    for minute in range(MOST_MINUTES):
        before = following(2 * minute)
        now_ms = START_MS + round((minute + second) * MINUTE_MS)
        still_open = _period(minute, before)
        seen = judge(rollout, comparison.after(still_open), [*periods, still_open], now_ms)
        if watch:
            watch(rollout, [*periods, still_open], now_ms, seen)
        if seen.verdict in (Verdict.COMPLETE, Verdict.ROLL_BACK):
            guilty = tuple(each.name for each in seen.guards if each.outcome == "rolled_back")
            return End(seen.verdict, minute + 1, rollout.share_bp, guilty)
        if seen.verdict is Verdict.ADVANCE:
            rollout = rollout.model_copy(update={"step": rollout.step + 1, "step_at": utc_iso(now_ms)})
        after = following(2 * minute + 1, anew=seen.verdict is Verdict.ADVANCE)
        whole = _period(minute, (before[0] + after[0], before[1] + after[1]))
        periods.append(whole)
        comparison = comparison.after(whole)
    return End(Verdict.HOLD, MOST_MINUTES, rollout.share_bp)


def _period(minute: int, counts: tuple[ArmCounts, ArmCounts]) -> Period:
    canary, champion = counts
    arms = {ArmKey(CANARY, Role.CANARY): canary, ArmKey(CHAMPION, Role.CHAMPION): champion}
    return Period(START_MS + minute * MINUTE_MS, arms)


def summary(scenario: Scenario, ends: Sequence[End]) -> dict[str, Any]:
    """A scenario's row: rates with their 95 % Clopper-Pearson intervals, and times in minutes."""
    rolled_back = [end for end in ends if end.verdict is Verdict.ROLL_BACK]
    early = [end for end in rolled_back if end.share_bp < CAUGHT_BEFORE_BP]
    reached = [end for end in ends if end.share_bp >= CAUGHT_BEFORE_BP]
    late = [end.minutes - LEAST_MINUTES for end in ends if end.verdict is Verdict.COMPLETE]
    delayed = [minutes for minutes in late if minutes > 1]
    row: dict[str, Any] = {
        "bad": scenario.bad,
        "promised": scenario.promised,
        "rollouts": len(ends),
        "rolled_back": _rate(len(rolled_back), len(ends)),
        "caught_before_share": _rate(len(early), len(ends)),
        "reached_share": _rate(len(reached), len(ends)),
        "never_ended": sum(end.verdict is Verdict.HOLD for end in ends),
        "minutes_to_rollback": _quantiles([end.minutes for end in rolled_back]),
        "delayed": _rate(len(delayed), len(ends)),
        "minutes_of_delay": _quantiles(delayed),
        "guards": {
            guard: sum(guard in end.guards for end in ends)
            for guard in sorted({guard for end in ends for guard in end.guards})
        },
    }
    return row


def _rate(hits: int, of: int) -> dict[str, Any]:
    interval = binomtest(hits, of).proportion_ci(0.95, "exact")
    return {"rate": hits / of, "low": float(interval.low), "high": float(interval.high)}


def _quantiles(minutes: Sequence[int]) -> dict[str, float] | None:
    if not minutes:
        return None
    return {
        "median": statistics.median(minutes),
        "p95": float(np.quantile(minutes, 0.95)),
        "longest": max(minutes),
    }


def _batch(work: tuple[int, Scenario, range]) -> tuple[str, list[End]]:
    place, scenario, seeds = work
    return scenario.name, [simulate(scenario, (place, seed)) for seed in seeds]


def run(rollouts: int, processes: int, *, batch: int = 25) -> dict[str, list[End]]:
    """Every scenario so many times. What comes out depends on ``rollouts`` and on nothing else."""
    work = [
        (place, scenario, range(first, min(first + batch, rollouts)))
        for place, scenario in enumerate(SCENARIOS)
        for first in range(0, rollouts, batch)
    ]
    ends: dict[str, list[End]] = {scenario.name: [] for scenario in SCENARIOS}
    with (
        ProcessPoolExecutor(processes) as pool,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        task = progress.add_task("rollouts", total=rollouts * len(SCENARIOS))
        for name, found in pool.map(_batch, work):
            ends[name] += found
            progress.advance(task, len(found))
    return ends


def content_of(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures: the plainest case by itself, and the worst of the bad canaries that are promised to be caught."""
    caught = [row["caught_before_share"]["rate"] for row in rows.values() if row["bad"] and row["promised"]]
    return {
        "false_rollback_rate": rows[AS_THE_CHAMPION]["rolled_back"]["rate"],
        "bad_canary_caught_rate": min(caught),
        "caught_before_share": CAUGHT_BEFORE_BP,
        "alpha": DEFAULT.alpha,
        "rows": rows,
    }


def show(rows: dict[str, dict[str, Any]]) -> None:
    good = figures.table(
        "A canary as the champion", "", "rolled back", "95 %", "delayed", "min, median", "p95", "never ended"
    )
    bad = figures.table(
        f"A bad canary, caught before {CAUGHT_BEFORE_BP // 100} %",
        "",
        "caught",
        "95 %",
        "got there",
        "min, median",
        "p95",
        "never ended",
    )
    for name, row in rows.items():
        table, first, second, times = (
            (bad, "caught_before_share", "reached_share", "minutes_to_rollback")
            if row["bad"]
            else (good, "rolled_back", "delayed", "minutes_of_delay")
        )
        found = row[times]
        table.add_row(
            name,
            f"{row[first]['rate']:.2%}",
            f"{row[first]['low']:.2%} - {row[first]['high']:.2%}",
            f"{row[second]['rate']:.1%}",
            *((f"{found['median']:g}", f"{found['p95']:.0f}") if found else ("", "")),
            str(row["never_ended"]),
        )
    figures.show(good)
    figures.show(bad)


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=1_000, help="of each scenario")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--figures", type=Path, default=figures.FIGURES)
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    ends = run(chosen.rollouts, chosen.processes)
    rows = {scenario.name: summary(scenario, ends[scenario.name]) for scenario in SCENARIOS}
    show(rows)
    taken = (
        f"{chosen.rollouts} simulated rollouts of each scenario, judged at a random second of every minute"
    )
    figures.write("rollout_sim", content_of(rows), taken=taken, folder=chosen.figures)


if __name__ == "__main__":
    main()
