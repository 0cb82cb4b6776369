"""What a built layer was made from: its lock, or for core its sources and recipe.

``make layers`` writes it into the layer, and the stacks compare it at synth, so that what is tested is what is
deployed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from layers import byte_code, core_layer, native_kernel

MARKER = ".made-from-sha256"
"""In each built layer: ``made_from`` when it was built."""


def lock(layers: Path, layer: str) -> Path:
    return layers / layer / "requirements.txt"


def made_from(layers: Path, layer: str) -> str:
    """SHA-256, in hex, of what the layer would be made from today.

    Raises ``FileNotFoundError`` where the folder ``layers`` has no such layer.
    """
    if layer != "core":
        return hashlib.sha256(lock(layers, layer).read_bytes()).hexdigest()
    core = layers / "core"
    python = core / "python"
    whole = hashlib.sha256()
    for file in core_layer.shipped(core):
        content = hashlib.sha256((python / file).read_bytes()).hexdigest()
        whole.update(f"{file.as_posix()} {content}\n".encode())
    recipe = [Path(core_layer.__file__), *byte_code.RECIPE]
    whole.update(native_kernel.digest([*native_kernel.inputs(core), *recipe]).encode())
    return whole.hexdigest()
