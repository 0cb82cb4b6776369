"""Byte code in the layers, so that a cold start compiles nothing and depends on no time stamp.

Byte code belongs to a version of Python and to no processor. For this machine its own interpreter compiles. For
Lambda it is always the same CPython 3.13, in WebAssembly from package-lock.json, whatever the building
interpreter: patch releases of one version share a magic number and still compile differently.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

LAMBDA_PYTHON = "3.13"
LAMBDA_MAGIC = bytes.fromhex("f30d0d0a")
"""``importlib.util.MAGIC_NUMBER`` of CPython 3.13."""

SHOWN_AS = "/opt/python"
"""Where Lambda unpacks the ``python`` folder of a layer: the path in tracebacks."""

PROGRAM = Path(__file__).with_name("compile_folder.py")
IN_WEBASSEMBLY = Path(__file__).with_name("compile_folder.mjs")
NPM_LOCK = Path(__file__).resolve().parents[1] / "package-lock.json"

RECIPE = (Path(__file__), PROGRAM, IN_WEBASSEMBLY)
"""What byte code depends on, besides sources and compiler."""

_UNCHECKED_HASH = (0b01).to_bytes(4, "little")


class WrongByteCode(Exception):
    """The compiler is not the one this layer needs."""


def compile_folder(folder: Path, target: str) -> None:
    """Write byte code beside every Python file under ``folder``, for ``local``, ``arm64`` or ``x86_64``.

    Raises ``subprocess.CalledProcessError`` when a file is no Python, ``WrongByteCode`` when the byte code is not for
    the target's Python.
    """
    subprocess.run([*_compiler(target), folder, SHOWN_AS], check=True)
    header = (importlib.util.MAGIC_NUMBER if target == "local" else LAMBDA_MAGIC) + _UNCHECKED_HASH
    for path in folder.rglob("*.pyc"):
        # The same on every machine, whatever its umask.
        path.chmod(0o644)
        if path.read_bytes()[:8] != header:
            raise WrongByteCode(f"{path.relative_to(folder)} is not byte code for the Python of {target}.")


def compiler(target: str) -> str:
    """What identifies the compiler: an interpreter, or the hash of the one in package-lock.json."""
    if target == "local":
        return f"{sys.implementation.cache_tag} {sys.version_info.micro}"
    lock = json.loads(NPM_LOCK.read_text())
    return str(lock["packages"]["node_modules/pyodide"]["integrity"])


def _compiler(target: str) -> list[str | Path]:
    # A process of its own: how names are stored depends on what the interpreter holds already.
    if target == "local":
        return [sys.executable, "-I", PROGRAM]
    return [Path(sysconfig.get_path("scripts")) / "node", IN_WEBASSEMBLY]
