"""The emulator's Lambda workers as processes: who lives, and an end for one of them without a word (SIGKILL).

Only processes whose own program lies in the soak's folder are ever looked at. Needs ``/proc``: Linux.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.soak_schedule import Kill, Killed
from quicksilver.errors import Unavailable

_PROC = Path("/proc")
_WORKER = re.compile(
    r"/ministack-lambda-quicksilver-[a-z0-9]+-(?P<service>[a-z0-9-]+)-[a-z0-9_]+/_worker\.py$"
)
CONSUMERS = frozenset({"rollup", "shadow", "redeliver"})


@dataclass(frozen=True, slots=True)
class Worker:
    pid: int
    service: str


def service_of(program: str) -> str | None:
    """Which function a worker's program is of: ``score-card-fraud``, ``rollup``; None for any other program."""
    found = _WORKER.search(program)
    return found["service"] if found else None


def workers(folder: Path) -> list[Worker]:
    """The workers whose programs lie in ``folder``, by rising process id. Raises ``Unavailable`` without ``/proc``."""
    if not _PROC.is_dir():
        raise Unavailable("Workers can be found and killed on Linux only: there is no /proc.")
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended meanwhile
        for argument in arguments[1:2]:
            service = service_of(argument)
            if service and Path(argument).is_relative_to(folder):
                found.append(Worker(int(entry.name), service))
    return sorted(found, key=lambda worker: worker.pid)


def victim(kill: Kill, living: Sequence[Worker]) -> Worker | None:
    """Who a kill is for; None where nobody of its kind lives."""
    wanted = [
        worker
        for worker in living
        if (
            worker.service in CONSUMERS
            if kill.whose is Killed.CONSUMER
            else worker.service.startswith("score-")
        )
    ]
    return wanted[int(kill.draw * len(wanted))] if wanted else None


def end(worker: Worker) -> bool:
    """Kill a worker at once. Returns whether it was still there."""
    try:
        os.kill(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
