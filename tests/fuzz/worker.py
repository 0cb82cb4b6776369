"""One process that judges mutated texts, and may die of one.

    python -m tests.fuzz.worker CORPUS FIRST COUNT STEP [JUDGE]

For each seed it writes the seed and a blank, then a verdict and a line feed: who dies in between dies of that seed.
The kernel's own verdict comes from the sanitized program JUDGE too, if there is one, and they must agree.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from quicksilver.errors import KernelRefused, ModelNotLoadable, NotEvaluated
from quicksilver.evaluator import ExplainedBy, LightGBMEvaluator
from quicksilver.kernel import Kernel
from tests.fuzz.mutations import mutated

ROWS = (
    [0.3, -0.0, 1.0, 33.0],
    [math.nan, 0.0, math.nan, -3.0],
    [math.inf, 1e-40, 2147483648.0, 1e18],
    [-5.0, 2.0, 4.5, 64.0],
)
VERDICTS = {0: "accepted", 1: "refused", 2: "unsupported"}  # enum qs_status


class Judge:
    """The sanitized kernel, in a process of its own."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen([self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, text: bytes) -> str:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(b"%d\n%s" % (len(text), text))
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._start()
            return "crashed"
        return VERDICTS.get(int(answer), "no memory")


def kernels_verdict(text: bytes) -> str:
    try:
        Kernel(text)
    except KernelRefused:
        return "unsupported"
    except ModelNotLoadable:
        return "refused"
    return "accepted"


def evaluators_verdict(text: bytes) -> str:
    """What LightGBM made of a text that the kernel's reader let through."""
    try:
        evaluator = LightGBMEvaluator(text)
    except ModelNotLoadable:
        return "not loaded"
    how: Counter[str] = Counter()
    for row in ROWS:
        vector = (row * len(evaluator.feature_names))[: len(evaluator.feature_names)]
        try:
            evaluation = evaluator.evaluate(vector)
        except NotEvaluated:
            how["not evaluated"] += 1
            continue
        evaluator.score(evaluation.raw_score)
        if evaluation.explained_by is ExplainedBy.LIGHTGBM:
            how["explained by LightGBM"] += 1
            continue
        how["explained by kernel"] += 1
        given = [*evaluation.contributions, evaluation.expected_value]
        expected = evaluator.lightgbm_contributions(vector)
        largest = max(map(abs, expected))
        if not all(abs(a - b) <= 1e-9 * largest for a, b in zip(given, expected, strict=True)):
            return "differs"
    return max(how, key=how.__getitem__)


def verdict(text: bytes, judge: Judge | None) -> str:
    own = kernels_verdict(text)
    if judge and (sanitized := judge(text)) != own:
        return f"{own} but sanitized {sanitized}"
    return own if own == "refused" else f"{own}: {evaluators_verdict(text)}"


def main() -> None:
    folder, first, count, step = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    texts = [path.read_bytes() for path in sorted(folder.glob("*.txt"))]
    # LightGBM writes its warnings to the standard output.
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)
    judge = Judge(sys.argv[5]) if len(sys.argv) > 5 else None
    for seed in range(first, first + count * step, step):
        os.write(out, b"%d " % seed)
        try:
            said = verdict(mutated(seed, texts), judge)
        except Exception as error:
            said = f"raised {type(error).__name__}: {error}".replace("\n", " ")
        os.write(out, f"{said}\n".encode(errors="replace"))


if __name__ == "__main__":
    main()
