"""Experiments simulated by the thousand: how often alike arms are told apart, and how soon different ones are.

    python -m bench.sim_experiment

Each is a day of 50 requests per second, of entities some of which come far more often than others, judged by the product's
own code as outcomes ripen: alike arms at every minute, others at every tenth. Prints tables and writes
build/figures/experiment_sim.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy.stats import binomtest

from bench import figures
from quicksilver.experiment.measures import Observations, estimates, sums_at
from quicksilver.experiment.verdict import Arms, Shares, judge
from quicksilver.experiment_plan import Measure, Terms, Verdict, implied_costs
from quicksilver.frame import Bools, Floats, Ints
from quicksilver.reports.experiment import WORDS

ENTITIES = 100_000
REQUESTS_PER_SECOND = 50
UNEVEN = 1.5
"""Standard deviation of the log of how often an entity comes."""

DAY_MS = 86_400_000
MINUTES = 1_440
SHARE_BP = 2_000
CUTOFF = 0.2
MEAN, SPREAD = -4.2, 1.8
"""Of the entities' log-odds."""

CHAMPION = 0.50
"""The share of the log-odds' variance that a model knows; the rest is noise to it."""

REFERENCE = 0.80
TRUTH_DRAWS = 2_000_000
TERMS = Terms(
    cutoff=CUTOFF, costs=implied_costs(CUTOFF), ripe_after_seconds=4 * 3_600, planned_entities=50_000
)


@dataclass(frozen=True)
class Scenario:
    """``known`` is what the challenger knows; ``lost`` the share of its entities that never arrive in the record."""

    name: str
    known: float = CHAMPION
    lost: float = 0.0
    minimum_effect: float = 0.0
    primary: Measure = TERMS.primary
    minutes_between_looks: int = 10

    @property
    def terms(self) -> Terms:
        return TERMS.model_copy(update={"minimum_effect": self.minimum_effect, "primary": self.primary})


ALIKE = Scenario("alike", minutes_between_looks=1)
SCENARIOS = (
    ALIKE,
    Scenario("alike, 90 too small to matter", minimum_effect=90.0),
    *(Scenario(f"challenger knows {known:.0%}", known) for known in (0.60, 0.70, REFERENCE, 0.95, 0.30)),
    Scenario("challenger knows 60%, by AUC", 0.60, primary=Measure.AUC),
    Scenario("5 % of the challenger's entities lost", lost=0.05),
)


@dataclass(frozen=True)
class Seen:
    """What one simulated experiment came to. ``outside`` are the measures whose sequence ever missed the truth."""

    ever: frozenset[str]
    hours: dict[str, float]
    outside: frozenset[Measure]


def drawn(random: np.random.Generator, rows: int, known: float) -> tuple[Floats, Bools]:
    """Scores that are calibrated for what a model knows, and outcomes."""
    seen, hidden = random.standard_normal((2, rows))
    logit = MEAN + SPREAD * np.sqrt(known) * seen
    bad = random.random(rows) < _chance(logit + SPREAD * np.sqrt(1 - known) * hidden)
    # What a model can know at best: the mean of the chance over what it does not see, by Gauss and Hermite's quadrature.
    places, weights = np.polynomial.hermite_e.hermegauss(31)
    grid = np.linspace(-16, 8, 481)
    means = _chance(grid[:, None] + SPREAD * np.sqrt(1 - known) * places) @ weights / weights.sum()
    return _chance(np.interp(logit, grid, np.log(means / (1 - means)))), bad


def _chance(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)))


def observed(random: np.random.Generator, rows: int, known: float) -> Observations:
    """The first prediction of each of an arm's entities that comes within the day."""
    score, bad = drawn(random, rows, known)
    per_day = REQUESTS_PER_SECOND * 86_400 / ENTITIES
    rate = per_day * np.exp(UNEVEN * random.standard_normal(rows) - UNEVEN**2 / 2)
    first = random.standard_exponential(rows) / rate * DAY_MS
    # A bad outcome is known within an hour or so, a good one after one to three: all within the ripening.
    hours = np.where(bad, random.standard_exponential(rows) * 0.8, random.uniform(1, 3, rows))
    seen = np.minimum(first, 2 * DAY_MS).astype(np.int64)
    ripens = TERMS.ripe_after_seconds * 1_000
    return Observations(
        seen, np.maximum(seen + (hours * 3_600_000).astype(np.int64), seen + ripens), score, bad
    )


def truth(known: float, seed: int = 99) -> dict[Measure, float]:
    """The measures of a model that knows so much, by the product's own sums over very many entities."""
    score, bad = drawn(np.random.default_rng(seed), TRUTH_DRAWS, known)
    now: Ints = np.zeros(TRUTH_DRAWS, dtype=np.int64)
    sums = sums_at(Observations(now, now, score, bad), np.array([1]), CUTOFF)[0]
    return {measure: float(found.value) for measure, found in estimates(sums, TERMS.costs).items()}


def simulate(scenario: Scenario, true: dict[Measure, float], seed: Sequence[int]) -> Seen:
    """One experiment from its first minute to its last."""
    random = np.random.default_rng(list(seed))
    step = scenario.minutes_between_looks
    looks = np.arange(step, MINUTES + 1, step, dtype=np.int64) * 60_000
    challengers = int(random.binomial(ENTITIES, SHARE_BP / 10_000))
    kept = int(random.binomial(challengers, 1 - scenario.lost))
    arms = Arms(
        sums_at(observed(random, kept, scenario.known), looks, CUTOFF),
        sums_at(observed(random, ENTITIES - challengers, CHAMPION), looks, CUTOFF),
        sums_at(observed(random, 0, CHAMPION), looks, CUTOFF),
    )
    judgement = judge(scenario.terms, Shares.of(SHARE_BP, 0), arms)
    verdicts = judgement.verdict
    first = {str(v): float(looks[int(np.argmax(verdicts == v))]) / 3_600_000 for v in np.unique(verdicts)}
    outside = {
        measure
        for measure, found in judgement.differences.items()
        if bool(((found.low > true[measure]) | (found.high < true[measure])).any())
    }
    return Seen(frozenset(first), first, frozenset(outside))


def _part(job: tuple[int, Scenario, dict[Measure, float], int, int]) -> tuple[int, list[Seen]]:
    place, scenario, true, start, end = job
    return place, [simulate(scenario, true, (place, number)) for number in range(start, end)]


def run(runs: Sequence[int], workers: int) -> tuple[list[list[Seen]], list[dict[Measure, float]]]:
    """Every scenario so often, in so many processes; and the true differences of each."""
    models = {
        known: truth(known) for known in sorted({scenario.known for scenario in SCENARIOS} | {CHAMPION})
    }
    true = [
        {measure: models[each.known][measure] - models[CHAMPION][measure] for measure in Measure}
        for each in SCENARIOS
    ]
    jobs = [
        (place, scenario, true[place], start, min(start + 10, runs[place]))
        for place, scenario in enumerate(SCENARIOS)
        for start in range(0, runs[place], 10)
    ]
    seen: list[list[Seen]] = [[] for _ in SCENARIOS]
    with (
        ProcessPoolExecutor(workers) as processes,
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task("simulating experiments", total=sum(runs))
        for place, part in processes.map(_part, jobs):
            seen[place] += part
            bar.advance(task, len(part))
    return seen, true


def share(seen: Sequence[Seen], verdict: Verdict) -> dict[str, Any]:
    """How often a verdict was ever reached, with its exact 95 % interval (Clopper & Pearson 1934)."""
    count = sum(str(verdict) in each.ever for each in seen)
    interval = binomtest(count, len(seen)).proportion_ci(0.95)
    return {"share": count / len(seen), "low": float(interval.low), "high": float(interval.high)}


def rows(seen: Sequence[Sequence[Seen]], true: Sequence[dict[Measure, float]]) -> list[dict[str, Any]]:
    made = []
    for scenario, each, difference in zip(SCENARIOS, seen, true, strict=True):
        hours = {
            str(verdict): statistics.median(found)
            for verdict in Verdict
            if verdict is not Verdict.NOT_YET
            and (found := [s.hours[v] for s in each if (v := str(verdict)) in s.ever])
        }
        made.append(
            {
                "scenario": scenario.name,
                "experiments": len(each),
                "looks": MINUTES // scenario.minutes_between_looks,
                "primary": scenario.primary.value,
                "minimum_effect": scenario.minimum_effect,
                "true_difference": {measure.value: value for measure, value in difference.items()},
                "ever": {str(v): share(each, v) for v in Verdict if v is not Verdict.NOT_YET},
                "median_hours": hours,
                "coverage": {
                    measure.value: 1 - sum(measure in s.outside for s in each) / len(each)
                    for measure in Measure
                },
            }
        )
    return made


def show(made: Sequence[dict[str, Any]]) -> None:
    verdicts = [str(verdict) for verdict in Verdict if verdict is not Verdict.NOT_YET]
    table = figures.table(
        "Experiments of a day that ever said so (median hours)",
        "arms",
        "runs",
        *(v.replace("_", " ") for v in verdicts),
    )
    for row in made:
        cells = []
        for verdict in verdicts:
            hours = row["median_hours"].get(verdict)
            cells.append(
                f"{100 * row['ever'][verdict]['share']:.1f} %" + (f" ({hours:.1f})" if hours else "")
            )
        table.add_row(row["scenario"], f"{row['experiments']:,}", *cells)
    figures.show(table)
    table = figures.table(
        "Sequences that held the truth at every look", "arms", *(WORDS[measure] for measure in Measure)
    )
    for row in made:
        table.add_row(row["scenario"], *(f"{100 * row['coverage'][measure]:.1f} %" for measure in Measure))
    figures.show(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate experiments by the thousand.")
    parser.add_argument("--runs", type=int, default=1_000, help="experiments with alike arms")
    parser.add_argument("--others", type=int, default=200, help="experiments of each other kind")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=figures.FIGURES)
    asked = parser.parse_args()
    seen, true = run([asked.runs if each is ALIKE else asked.others for each in SCENARIOS], asked.workers)
    made = rows(seen, true)
    alike = made[SCENARIOS.index(ALIKE)]
    reference = next(row for row, each in zip(made, SCENARIOS, strict=True) if each.known == REFERENCE)
    told_apart = sum(bool(each.ever & {Verdict.WIN, Verdict.LOSS}) for each in seen[SCENARIOS.index(ALIKE)])
    show(made)
    path = figures.write(
        "experiment_sim",
        {
            "alpha": TERMS.alpha,
            "primary": TERMS.primary.value,
            "false_win_rate": alike["ever"]["win"]["share"],
            "false_win_interval": [alike["ever"]["win"]["low"], alike["ever"]["win"]["high"]],
            "false_verdict_rate": told_apart / len(seen[SCENARIOS.index(ALIKE)]),
            "false_invalid_rate": alike["ever"]["invalid"]["share"],
            "power": reference["ever"]["win"]["share"],
            "power_of": reference["scenario"],
            "rows": made,
        },
        taken=(
            f"{asked.runs:,} simulated experiments with alike arms, looked at every minute of a day, and {asked.others:,} of each other "
            f"kind, every ten minutes: {ENTITIES:,} entities, {SHARE_BP / 100:g} % of them the challenger's, by the product's own code"
        ),
        folder=asked.folder,
    )
    Console(width=figures.WIDTH).print(f"written to {path}")


if __name__ == "__main__":
    main()
