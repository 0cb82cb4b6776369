"""What is measured of a contestant's processes: CPU to the nanosecond, memory, and on which core they run."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def cores() -> tuple[int, int]:
    """The core that contestants share, and the one for whoever calls them; the same where there is one only."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run this thread, and every process it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(pid: int) -> list[int]:
    """A process and everything it has started, however deep."""
    parents: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name in brackets may hold blanks; what follows it is state, then parent. proc(5)
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                parents.setdefault(int(parent), []).append(int(folder.name))
    members = [pid]
    for member in members:
        members += parents.get(member, [])
    return members


def cpu_us(pids: list[int]) -> float:
    """CPU that processes have used so far, all threads, user and system.

    The kernel's own clock of each process, where ``utime`` and ``stime`` come in ticks of 10 ms: its id is the
    inverted pid with the kind in the lowest bits (``MAKE_PROCESS_CPUCLOCK``, 2 for scheduler time; see
    clock_getcpuclockid(3)).
    """
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids) / 1_000


def resident_mib(pids: list[int]) -> float:
    """Memory of processes, each its proportional share of what they share."""
    total = 0
    for pid in pids:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1_024


def processor() -> str:
    """The processor's name, and whether it has AVX2: what figures are worth depends on it."""
    text = Path("/proc/cpuinfo").read_text()
    name = next((line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line), "")
    return f"{name or os.uname().machine}{', AVX2' if ' avx2 ' in text else ''}"
