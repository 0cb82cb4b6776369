"""Zig as a C compiler: the one that builds for Lambda's processors from any machine, locked with hashes.

It weighs 411 MiB, so it is installed into ``.local/zig`` when something needs it, and not with ``make setup``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "zig.txt"
HOME = ROOT / ".local" / "zig"
CACHE = ROOT / ".local" / "zig-cache"

_MARKER = ".lock-sha256"


def zig() -> Path:
    """The program, at the locked version; installed first where it is absent or another one.

    Raises ``subprocess.CalledProcessError`` when it cannot be installed.
    """
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    marker = HOME / _MARKER
    if not marker.is_file() or marker.read_text() != wanted:
        _install(wanted)
    return HOME / "ziglang" / "zig"


def environment() -> Mapping[str, str]:
    """This process's environment, with Zig's caches inside the checkout."""
    return {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(CACHE), "ZIG_LOCAL_CACHE_DIR": str(CACHE)}


def _install(lock_hash: str) -> None:
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME.parent, prefix=".zig-") as workshop:
        draft = Path(workshop, "zig")
        uv = Path(sysconfig.get_path("scripts")) / "uv"
        command: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", sys.executable]
        command += ["--target", draft, "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", LOCK]
        subprocess.run(command, check=True)
        (draft / _MARKER).write_text(lock_hash)
        shutil.rmtree(HOME, ignore_errors=True)
        draft.rename(HOME)
