"""The latency gate: what the candidate costs beside the champion, in one run on this machine.

CPU time and not elapsed time, so that a busy neighbour does not count; champion and candidate take turns row by
row, so that whatever slows the machine slows both; medians, so that a hiccup counts for nothing. Ratios hold on
any machine; the absolute bound is for this one and is set wide.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.frame import Floats
from quicksilver.gates.policy import LatencyPolicy
from quicksilver.gates.report import Check, Gate, Outcome
from quicksilver.gates.subject import Subject

ROWS = 60
LOADS = 5
_MIB = 1024 * 1024


def latency_checks(
    candidate: tuple[Subject, Floats], champion: tuple[Subject, Floats] | None, policy: LatencyPolicy
) -> list[Check]:
    """The gate's checks. Each model comes with vectors of its own contract, of the same rows."""
    models = [candidate] if champion is None else [candidate, champion]
    loads = _alternating([_loader(subject) for subject, _ in models], LOADS)
    rows = min(ROWS, *(len(vectors) for _, vectors in models))
    scores = _alternating([_scorer(subject, vectors[:rows]) for subject, vectors in models], rows)
    cpu_us, load_us = ([value / 1_000 for value in values] for values in (scores, loads))
    theirs = None if champion is None else (cpu_us[1], load_us[1])
    checks = [
        _check(
            "cpu_us", cpu_us[0], policy.max_cpu_us,
            f"Score and contributions of one row take {cpu_us[0]:,.0f} us of CPU.",
            theirs and theirs[0], rows,
        ),
    ]  # fmt: skip
    if theirs is not None:
        ratio, load_ratio = cpu_us[0] / theirs[0], load_us[0] / theirs[1]
        checks += [
            _check(
                "cpu_ratio", ratio, policy.max_cpu_ratio,
                f"A row takes {ratio:.2f} times the champion's CPU.", 1.0, rows,
            ),
            _check(
                "load_ratio", load_ratio, policy.max_load_ratio,
                f"Loading takes {load_ratio:.2f} times the champion's CPU.", 1.0, LOADS,
            ),
        ]  # fmt: skip
    mib = sum(map(len, candidate[0].package.files.values())) / _MIB
    return [
        *checks,
        _check(
            "load_us", load_us[0], None, f"Loading the model takes {load_us[0] / 1_000:,.1f} ms of CPU.",
            theirs and theirs[1], LOADS,
        ),
        _check(
            "package_mib", mib, policy.max_package_mib, f"The package has {mib:.2f} MiB.", None, None
        ),
    ]  # fmt: skip


def _alternating(tasks: list[Callable[[int], object]], rounds: int) -> list[float]:
    """Median CPU nanoseconds of each task, after one round that is not counted."""
    taken: list[list[int]] = [[] for _ in tasks]
    for turn in range(-1, rounds):
        for task, times in zip(tasks, taken, strict=True):
            start = time.process_time_ns()
            task(max(turn, 0))
            spent = time.process_time_ns() - start
            if turn >= 0:
                times.append(spent)
    return [max(1.0, median(times)) for times in taken]


def _loader(subject: Subject) -> Callable[[int], object]:
    text = subject.package.model_text
    return lambda _turn: LightGBMEvaluator(text)


def _scorer(subject: Subject, vectors: Floats) -> Callable[[int], object]:
    rows = vectors.tolist()
    return lambda turn: subject.evaluator.evaluate(rows[turn])


def _check(
    name: str, value: float, limit: float | None, sentence: str, champion: float | None, rows: int | None
) -> Check:
    holds = limit is None or value <= limit
    return Check(
        gate=Gate.LATENCY,
        name=name,
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        sentence=sentence if holds else f"{sentence} At most {limit:,g} is allowed.",
        value=value,
        limit=limit,
        champion=champion,
        rows=rows,
    )
