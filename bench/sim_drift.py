"""Windows simulated by the thousand: how often quiet ones alarm, and how often drift is found.

    python -m bench.sim_drift

Windows of forty features of mixed kinds, judged whole by the product's own code against reference profiles that the product
built from 20,000 drawn rows, another for every twenty windows. Prints tables and writes build/figures/drift_null.json and
drift_power.json.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy.stats import binomtest

from bench import figures
from bench.drift_population import MODEL, TRAINING_ROWS, Drift, Traffic, on_day, training_profile
from quicksilver.drift.counts import WindowCounts
from quicksilver.drift.judgement import judge
from quicksilver.drift.result import Aspect, Finding
from quicksilver.drift_policy import DriftPolicy

ROWS = (100, 1_000, 10_000, 100_000)
CLUSTERED_ROWS = (1_000, 10_000)
POWER_ROWS = 5_000
PSI = 0.1
PSIS = (0.01, 0.02, 0.03, 0.05, 0.075, PSI, 0.15, 0.2)
FIXED = (0.10, 0.25)
PER_PROFILE = 20
AS_ROWS = 5
"""One window in so many of entities is also judged as if its rows were independent: nearly all alarm."""
SIZES = {"even entities": 0.3, "uneven entities": 1.0}
"""Entities of about three rows, and the standard deviation of the logarithm of how many rows one has."""
BY_ROW = ", as rows"
POLICY = DriftPolicy(endpoint="card-fraud", version=1)

DRIFTS: dict[str, tuple[Callable[[float], Drift], float]] = {
    "mean shift": (lambda by: Drift("number_0", moved=by), 3.0),
    "spread": (lambda by: Drift("number_2", spread=1 + by), 5.0),
    "category grows": (lambda by: Drift("category_5", to_category=by, category=2), 0.9),
    "goes missing": (lambda by: Drift("number_6", gone_missing=by), 0.9),
}
"""What may happen to a feature, as a function of how far it has gone, and the furthest it may go."""


@dataclass
class Seen:
    """Windows judged: ``alarms`` had one, ``named`` had the drifted feature as their first. ``fixed`` and ``fixed_features``
    are the windows and the features over a fixed PSI."""

    windows: int = 0
    alarms: int = 0
    named: int = 0
    features: int = 0
    fixed: Counter[float] = field(default_factory=Counter)
    fixed_features: Counter[float] = field(default_factory=Counter)
    aspects: Counter[str] = field(default_factory=Counter)

    def note(self, findings: Sequence[Finding], drifted: str | None = None) -> None:
        alarms = [finding for finding in findings if finding.alarm]
        psis = [
            finding.distances.psi
            for finding in findings
            if finding.aspect is Aspect.DISTRIBUTION and finding.feature and finding.distances
        ]
        self.windows += 1
        self.features += len(psis)
        self.alarms += bool(alarms)
        self.named += bool(alarms) and drifted is not None and alarms[0].feature == drifted
        self.aspects.update(finding.aspect for finding in alarms)
        for limit in FIXED:
            self.fixed[limit] += any(psi >= limit for psi in psis)
            self.fixed_features[limit] += sum(psi >= limit for psi in psis)

    def add(self, other: Seen) -> None:
        self.windows += other.windows
        self.alarms += other.alarms
        self.named += other.named
        self.features += other.features
        for name in ("fixed", "fixed_features", "aspects"):
            getattr(self, name).update(getattr(other, name))


Key = tuple[str, str, float]
"""What is simulated: ``null``, ``clustered`` or ``power``; of which kind; at how many rows, or which PSI."""


def _judged(
    traffic: Traffic, window: WindowCounts, earlier: Sequence[WindowCounts] = ()
) -> tuple[Finding, ...]:
    return judge(on_day(window, 8), {MODEL: traffic.profile}, earlier, POLICY)[0]


def simulate(number: int, windows: dict[Key, int]) -> dict[Key, Seen]:
    """So many windows of each key, against one reference profile."""
    random = np.random.default_rng([31, number])
    traffic = Traffic(training_profile(random))
    seen: dict[Key, Seen] = {}
    for key, count in windows.items():
        seen[key] = made = Seen()
        what, kind, size = key
        drift = traffic.of_psi(size, *DRIFTS[kind]) if what == "power" and count else None
        rows = POWER_ROWS if what == "power" else int(size)
        for place in range(count):
            if what == "clustered":
                by_entity, by_row = traffic.clustered(random, rows, spread=SIZES[kind])
                made.note(_judged(traffic, by_entity))
                if place % AS_ROWS == 0:
                    seen.setdefault((what, kind + BY_ROW, size), Seen()).note(_judged(traffic, by_row))
            else:
                earlier = [on_day(traffic.window(random, rows), 7)]
                found = _judged(traffic, traffic.window(random, rows, drift), earlier)
                made.note(found, drift.feature if drift else None)
    return seen


def plan(repetitions: int, power: int, others: int) -> Iterator[dict[Key, int]]:
    """What each reference profile is used for: a part of every key's windows."""
    wanted: dict[Key, int] = {("null", "independent rows", rows): repetitions for rows in ROWS}
    wanted |= {("clustered", kind, rows): repetitions // 4 for kind in SIZES for rows in CLUSTERED_ROWS}
    wanted |= {("power", kind, psi): power if psi == PSI else others for kind in DRIFTS for psi in PSIS}
    profiles = -(-repetitions // PER_PROFILE)
    for number in range(profiles):
        yield {
            key: count * (number + 1) // profiles - count * number // profiles
            for key, count in wanted.items()
        }


def run(jobs: Sequence[dict[Key, int]], workers: int) -> dict[Key, Seen]:
    total: dict[Key, Seen] = {}
    with (
        ProcessPoolExecutor(workers) as processes,
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task("simulating windows", total=len(jobs))
        for part in processes.map(simulate, range(len(jobs)), jobs):
            for key, seen in part.items():
                total.setdefault(key, Seen()).add(seen)
            bar.advance(task)
    return total


def rate(count: int, of: int) -> dict[str, float]:
    """A share with its exact 95 % interval (Clopper & Pearson 1934)."""
    interval = binomtest(count, of).proportion_ci(0.95)
    return {"share": count / of, "low": float(interval.low), "high": float(interval.high)}


def null_rows(seen: dict[Key, Seen]) -> list[dict[str, Any]]:
    return [
        {
            "traffic": kind, "rows": int(size), "windows": each.windows,
            "false_alarm": rate(each.alarms, each.windows),
            "by_aspect": dict(each.aspects),
            "fixed_psi": {f"{limit:g}": each.fixed[limit] / each.windows for limit in FIXED},
            "fixed_psi_by_feature": {f"{limit:g}": each.fixed_features[limit] / each.features for limit in FIXED},
        }
        for (what, kind, size), each in seen.items() if what != "power"
    ]  # fmt: skip


def power_rows(seen: dict[Key, Seen]) -> list[dict[str, Any]]:
    return [
        {"drift": kind, "psi": size, "windows": each.windows, "found": rate(each.named, each.windows),
         "alarms": each.alarms / each.windows}
        for (what, kind, size), each in seen.items() if what == "power"
    ]  # fmt: skip


def show_null(rows: Sequence[dict[str, Any]]) -> None:
    table = figures.table(
        "Windows without drift that alarmed",
        "traffic", "rows", "windows", "alarmed", "95 %", "PSI .10", "PSI .25", "of features",
    )  # fmt: skip
    for row in rows:
        alarm, fixed = row["false_alarm"], row["fixed_psi"]
        table.add_row(
            row["traffic"],
            f"{row['rows']:,}",
            f"{row['windows']:,}",
            f"{alarm['share']:.1%}",
            f"{alarm['low']:.1%}-{alarm['high']:.1%}",
            f"{fixed['0.1']:.0%}",
            f"{fixed['0.25']:.0%}",
            f"{row['fixed_psi_by_feature']['0.1']:.0%}",
        )
    figures.show(table)


def show_power(rows: Sequence[dict[str, Any]]) -> None:
    table = figures.table(
        f"Drift in one of forty features found and named first, at {POWER_ROWS:,} rows (limit {POLICY.effects.psi:g})",
        "PSI", *DRIFTS,
    )  # fmt: skip
    found = {(row["psi"], row["drift"]): row["found"]["share"] for row in rows}
    for psi in PSIS:
        table.add_row(f"{psi:g}", *(f"{found[psi, kind]:.1%}" for kind in DRIFTS if (psi, kind) in found))
    figures.show(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate windows with and without drift by the thousand.")
    parser.add_argument("--repetitions", type=int, default=1_000, help="quiet windows of each size")
    parser.add_argument(
        "--power", type=int, default=250, help=f"windows of each kind of drift at a PSI of {PSI}"
    )
    parser.add_argument("--others", type=int, default=50, help="windows of each kind at each other PSI")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=figures.FIGURES)
    asked = parser.parse_args()
    jobs = list(plan(asked.repetitions, asked.power, asked.others))
    seen = run(jobs, asked.workers)
    null, power = null_rows(seen), power_rows(seen)
    show_null(null)
    show_power(power)
    independent = [row for row in null if row["traffic"] == "independent rows"]
    against = f"against {len(jobs)} reference profiles of {TRAINING_ROWS:,} rows, by the product's own code"
    written = figures.write(
        "drift_null",
        {
            "false_alarm_rate": {str(row["rows"]): row["false_alarm"]["share"] for row in independent},
            "interval": {str(r["rows"]): [r["false_alarm"]["low"], r["false_alarm"]["high"]] for r in independent},
            "repetitions": asked.repetitions,
            "fdr": POLICY.fdr,
            "rows": null,
        },
        taken=f"{asked.repetitions:,} windows without drift of each size, 40 correlated features, {against}",
        folder=asked.folder,
    )  # fmt: skip
    at = [row for row in power if row["psi"] == PSI]
    named, windows = (
        sum(seen["power", kind, PSI].__dict__[name] for kind in DRIFTS) for name in ("named", "windows")
    )
    figures.write(
        "drift_power",
        {
            "detection_rate": named / windows,
            "interval": [rate(named, windows)[end] for end in ("low", "high")],
            "least_detection_rate": min(row["found"]["share"] for row in at),
            "psi": PSI,
            "rows": POWER_ROWS,
            "limit": POLICY.effects.psi,
            "curve": power,
        },
        taken=(
            f"{asked.power:,} windows of {POWER_ROWS:,} rows of each kind of drift at a PSI of {PSI} in one of 40 features, "
            f"{asked.others:,} at each other PSI, {against}; found is found and named first"
        ),
        folder=asked.folder,
    )  # fmt: skip
    Console(width=figures.WIDTH).print(f"written to {written} and {written.with_name('drift_power.json')}")


if __name__ == "__main__":
    main()
