"""How long a gate run takes: 500 trees x 63 leaves, 40 features, 20,000 rows, against a champion as large.

    python -m bench.gate

Prints a table and writes build/figures/gate.json. Elapsed and CPU seconds per step, on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import lightgbm
import numpy as np
from rich.console import Console
from rich.table import Table

from quicksilver.aws.system import SystemClock
from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Source
from quicksilver.evaluation_file import open_evaluation
from quicksilver.frame import Floats
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import GateReport
from quicksilver.gates.run import Champion, run_gates
from quicksilver.package import Package
from quicksilver.packing import evaluation_rows, pack

FEATURES, TREES, LEAVES, ROWS, TRAINING_ROWS = 40, 500, 63, 20_000, 30_000
MONOTONE = 4
BUDGET_SECONDS = 60


class Stopwatch:
    """Elapsed and CPU seconds of each step, told by the gates' own progress."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[float, float]] = {}
        self._step = ""
        self._start = (time.perf_counter(), time.process_time())

    def __call__(self, step: str, _done: int, _total: int) -> None:
        if step != self._step:
            self.stop()
            self._step = step

    def stop(self) -> None:
        now = (time.perf_counter(), time.process_time())
        if self._step:
            self.steps[self._step] = (now[0] - self._start[0], now[1] - self._start[1])
        self._start = now


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/figures/gate.json"))
    chosen = parser.parse_args()
    contract = _contract()
    vectors, target = _rows(TRAINING_ROWS + ROWS)
    judged, outcomes = vectors[TRAINING_ROWS:], target[TRAINING_ROWS:]
    packages = [
        _package(contract, vectors[:TRAINING_ROWS], target[:TRAINING_ROWS], seed=seed) for seed in (1, 2)
    ]
    group = np.array(["a", "b", "c", None], dtype=object)[np.random.default_rng(3).integers(0, 4, ROWS)]
    file = evaluation_rows(contract, reference=judged, target=outcomes, protected={"band": group.tolist()})
    data = open_evaluation(file)

    watch = Stopwatch()
    started = time.perf_counter()
    report = run_gates(packages[0], data, _policy(), Champion(None, packages[1]), SystemClock(), watch)
    watch.stop()
    elapsed = time.perf_counter() - started
    _show(watch, elapsed, report)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "trees": TREES, "leaves": LEAVES, "features": FEATURES, "rows": ROWS, "monotone_features": MONOTONE,
        "bootstrap_samples": _policy().performance.bootstrap_samples, "cores": os.cpu_count(),
        "elapsed_seconds": round(elapsed, 2), "budget_seconds": BUDGET_SECONDS,
        "steps": {name: {"elapsed_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)} for name, (wall, cpu) in watch.steps.items()},
    }  # fmt: skip
    chosen.out.write_text(json.dumps(content, indent=2) + "\n")


def _show(watch: Stopwatch, elapsed: float, report: GateReport) -> None:
    title = f"gate of {TREES} trees x {LEAVES} leaves on {ROWS:,} rows against a champion, {len(report.checks)} checks"
    table = Table("step", "elapsed s", "CPU s", title=title, title_justify="left")
    for name, (wall, cpu) in watch.steps.items():
        table.add_row(name, f"{wall:.2f}", f"{cpu:.2f}")
    table.add_row("whole", f"{elapsed:.2f}", f"at most {BUDGET_SECONDS} elapsed", style="bold")
    Console(soft_wrap=True).print(table)


def _contract() -> Contract:
    return Contract(
        endpoint="bench-gate",
        features=tuple(
            Feature(
                name=f"feature_{place:02d}",
                type=FeatureType.NUMBER,
                source=Source.REQUEST,
                missing=MissingPolicy.MISSING,
                monotone=1 if place < MONOTONE else 0,
                reason_code=f"F{place:02d}",
                reason=f"Feature {place} is unusual",
            )
            for place in range(FEATURES)
        ),
    )


def _policy() -> Policy:
    return Policy(endpoint="bench-gate", version=1, cutoff=0.5, protected=("band",))


def _rows(count: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(count, FEATURES))
    logit = vectors @ rng.normal(scale=0.4, size=FEATURES) + vectors[:, :MONOTONE].sum(axis=1) - 2.0
    vectors[rng.random(vectors.shape) < 0.02] = np.nan
    return vectors, (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(np.float64)


def _package(contract: Contract, vectors: Floats, target: Floats, *, seed: int) -> Package:
    parameters = {
        "objective": "binary", "num_leaves": LEAVES, "learning_rate": 0.05, "feature_fraction": 0.8, "seed": seed,
        "monotone_constraints": [feature.monotone for feature in contract.features],
        "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
    }  # fmt: skip
    rows = lightgbm.Dataset(vectors, target, feature_name=list(contract.names))
    booster = lightgbm.train(parameters, rows, num_boost_round=TREES)
    return pack(booster, contract, reference=vectors, target=target, golden=200)


if __name__ == "__main__":
    main()
