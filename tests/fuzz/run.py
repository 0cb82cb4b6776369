"""Mutated model texts against the native kernel under sanitizers and against the evaluator with LightGBM behind it.

    python -m tests.fuzz.run [--mutations N] [--first SEED] [--out FILE]
    python -m tests.fuzz.run --valgrind

Prints a table, writes build/figures/fuzz.json, and leaves each text that broke something in build/fuzz. A crash, a
hang, an exception that is no refusal, or a verdict that differs between builds fails the run.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from layers import native_kernel
from tests.fuzz import corpus
from tests.fuzz.mutations import mutated

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "data" / "kernel"
HANGS_AFTER_SECONDS = 60
SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
SOUND = frozenset(
    ["refused"]
    + [
        f"{kernel}: {evaluator}"
        for kernel in ("accepted", "unsupported")
        for evaluator in ("not loaded", "not evaluated", "explained by kernel", "explained by LightGBM")
    ]
)


def build_judge(program: Path, flags: Sequence[str] = SANITIZERS) -> Path:
    """Compile the harness that counts allocations. Raises ``CannotCompile``, as where a compiler has no sanitizers."""
    compiler = native_kernel.own_compiler(shutil.which)
    if compiler is None:
        raise native_kernel.CannotCompile("This machine has no C compiler.")
    harness = native_kernel.CORE / "native" / "fuzz" / "judge_model.c"
    hooks = ("-Dcalloc=judged_calloc", "-Daligned_alloc=judged_aligned_alloc")
    names = [*map(str, native_kernel.sources()), str(harness)]
    program.parent.mkdir(parents=True, exist_ok=True)
    flags = ("-std=c11", "-D_GNU_SOURCE", "-ffp-contract=off", *flags, *hooks)
    native_kernel.compile_by([*compiler, *flags, *names, "-o", str(program), "-lm"], program.parent)
    subprocess.run([program], stdin=subprocess.DEVNULL, check=True)
    return program


@dataclass
class Findings:
    """``verdicts`` counts outcomes; ``broken`` has a seed and what its text did, for each that broke something."""

    verdicts: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, seed: int, verdict: str) -> None:
        if verdict in SOUND:
            self.verdicts[verdict] += 1
        else:
            self.broken.append((seed, verdict))


class _Worker:
    """A process that judges every ``step``-th seed. It is replaced when it dies, after the seed it died of."""

    def __init__(self, folder: Path, seeds: range, judge: Path | None) -> None:
        self._folder, self.seeds, self._judge = folder, seeds, judge
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.fuzz.worker", self._folder, self.seeds.start, len(self.seeds)]
        command += [self.seeds.step, *([self._judge] if self._judge else [])]
        # A group of its own, so that a hung judge ends with its worker; one thread, as the score function has.
        self.process = subprocess.Popen(
            [str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self.process.stdout
        self.out = self.process.stdout
        self._unread, self.heard = b"", time.monotonic()

    def read(self, findings: Findings) -> bool:
        """Take what the worker wrote. False once it has ended."""
        said = os.read(self.out.fileno(), 1 << 16)
        self.heard = time.monotonic()
        *lines, self._unread = (self._unread + said).split(b"\n")
        for line in lines:
            seed, _, verdict = line.decode(errors="replace").partition(" ")
            findings.add(int(seed), verdict)
            self.seeds = self.seeds[1:]
        return bool(said)

    def end(self, findings: Findings, why: str = "") -> bool:
        """Let an ended worker go. True if another took its place."""
        returned = self.process.wait()
        self.out.close()
        if self.seeds:
            findings.add(self.seeds[0], why or f"ended the process ({returned})")
            self.seeds = self.seeds[1:]
        if not self.seeds:
            return False
        self._start()
        return True

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)


def fuzz(
    folder: Path,
    seeds: range,
    judge: Path | None,
    *,
    processes: int = 2,
    progress: Callable[[int], object] = lambda _: None,
) -> Findings:
    """Judge the mutations of the model texts ``folder/*.txt`` with these seeds."""
    findings = Findings()
    workers = [_Worker(folder, seeds[offset::processes], judge) for offset in range(processes)]
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.out, selectors.EVENT_READ, worker)
        while selector.get_map():
            for key, _ in selector.select(timeout=1):
                if not key.data.read(findings):
                    selector.unregister(key.fileobj)
                    if key.data.end(findings):
                        selector.register(key.data.out, selectors.EVENT_READ, key.data)
            for key in list(selector.get_map().values()):
                if time.monotonic() - key.data.heard > HANGS_AFTER_SECONDS:
                    key.data.kill()
                    selector.unregister(key.fileobj)
                    if key.data.end(findings, "hung"):
                        selector.register(key.data.out, selectors.EVENT_READ, key.data)
            progress(findings.verdicts.total() + len(findings.broken))
    return findings


def write_corpus(folder: Path) -> Path:
    """The sound texts that mutations start from."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in corpus.texts().items():
        (folder / f"{name}.txt").write_bytes(text)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--valgrind", action="store_true", help="only the sound texts, under valgrind")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "figures" / "fuzz.json")
    chosen = parser.parse_args()
    folder = ROOT / "build" / "fuzz"
    texts = write_corpus(folder / "corpus")
    if chosen.valgrind:
        sys.exit(under_valgrind(folder, texts))
    judge = build_judge(folder / "judge_model")
    start = time.monotonic()
    with Progress() as bar:
        task = bar.add_task("mutations", total=chosen.mutations)
        seeds = range(chosen.first, chosen.first + chosen.mutations)
        findings = fuzz(texts, seeds, judge, progress=lambda done: bar.update(task, completed=done))
    sound = [path.read_bytes() for path in sorted(texts.glob("*.txt"))]
    for seed, _ in findings.broken:
        (folder / f"broken-{seed}.txt").write_bytes(mutated(seed, sound))
    report(
        findings, {"mutations": chosen.mutations, "seconds": round(time.monotonic() - start, 1)}, chosen.out
    )
    sys.exit(bool(findings.broken))


def under_valgrind(folder: Path, texts: Path) -> int:
    """Compile and explain each sound text, and let each allocation fail. Valgrind's exit code."""
    program = build_judge(folder / "judge_model_plain", ("-g", "-O1"))
    command = [
        "valgrind",
        "--quiet",
        "--error-exitcode=1",
        "--leak-check=full",
        "--errors-for-leak-kinds=all",
        program,
    ]
    try:
        return subprocess.run(
            [*command, *sorted(texts.glob("*.txt")), *sorted(GOLDEN.glob("*.txt"))]
        ).returncode
    except FileNotFoundError:
        print("Valgrind is not installed on this machine.", file=sys.stderr)
        return 1


def report(findings: Findings, more: Mapping[str, Any], out: Path) -> None:
    table = Table("verdict of the kernel and the evaluator", "texts")
    for verdict, count in findings.verdicts.most_common():
        table.add_row(verdict, f"{count:,}")
    table.add_row("crashes, hangs, exceptions, differences", f"{len(findings.broken):,}")
    Console().print(table)
    for seed, what in findings.broken[:20]:
        Console().print(f"seed {seed}: {what}", markup=False)
    figures = {**more, "verdicts": dict(findings.verdicts.most_common()), "broken": findings.broken}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
