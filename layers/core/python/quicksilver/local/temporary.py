"""A deployed stage for one purpose: on an emulator of its own, on a port nobody uses, gone with the block that uses it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quicksilver.local import checkout
from quicksilver.local.deployment import Deployment
from quicksilver.local.emulator import HOST, Emulator, Progress, silent


@contextmanager
def temporary_deployment(
    purpose: str, progress: Progress = silent, *, functions_reach: Callable[[str], str] | None = None
) -> Iterator[Deployment]:
    """``stage=local`` deployed beside whatever else runs on the machine; ``purpose`` names its folder in ``.local``.

    ``functions_reach`` is told the emulator's address before it starts, and says which one Lambda functions are to have for it.

    Raises ``Unavailable`` as ``Emulator.start`` and ``Deployment.deploy`` do.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    folder = checkout() / ".local" / purpose / str(port)
    reached = functions_reach(f"http://{HOST}:{port}") if functions_reach else None
    emulator = Emulator(folder, port=port, functions_url=reached)
    emulator.start(progress)
    try:
        deployment = Deployment(emulator)
        deployment.deploy(progress)
        yield deployment
    finally:
        emulator.stop()
        shutil.rmtree(folder)
