"""Process groups: who is in one, whether a process is still the one we started, and how to end it whole.

The emulator's Lambda workers are in its process group, so ending the group leaves no worker behind.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PROC = Path("/proc")
_STATE, _GROUP, _STARTED = 0, 2, 19
"""Positions in ``/proc/<pid>/stat`` after the command name (proc_pid_stat(5), fields 3, 5 and 22)."""


def birth_of(pid: int) -> str | None:
    """A mark that no later process with the same id shares; ``None`` when there is no such process.

    A zombie counts as gone: it has ended and only waits to be collected. Where there is no ``/proc``
    (macOS) the mark is constant, and a process is told by its id alone.
    """
    if sys.platform != "linux":
        return "alive" if _reaches(os.kill, pid, 0) else None
    fields = _stat(_PROC / str(pid))
    return fields[_STARTED] if fields and fields[_STATE] != "Z" else None


def group_is_empty(group: int) -> bool:
    """Whether no process of the group is running any more."""
    _collect(group)
    if sys.platform != "linux":
        return not _reaches(os.killpg, group, 0)
    stats = (_stat(folder) for folder in _PROC.iterdir() if folder.name.isdigit())
    return not any(s for s in stats if s and int(s[_GROUP]) == group and s[_STATE] != "Z")


def end_group(group: int, *, grace_seconds: float) -> bool:
    """Ask the group to stop, then make it. Returns whether every process of it is gone."""
    for sent, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if not _reaches(os.killpg, group, sent):
            return True
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if group_is_empty(group):
                return True
            time.sleep(0.02)
    return group_is_empty(group)


def _reaches(kill: Callable[[int, int], None], target: int, number: int) -> bool:
    """Send a signal (0: only ask). Returns whether there was anybody to receive it."""
    try:
        kill(target, number)
    except ProcessLookupError:
        return False
    return True


def _stat(folder: Path) -> list[str] | None:
    try:
        # The command name is in parentheses and may itself hold blanks and parentheses.
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _collect(pid: int) -> None:
    """Take the exit status of a child of ours, so that it is no zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
