"""The local AWS: the emulator's process and the deployment of ``stage=local`` to it.

For the command line and tests only; it is never part of a layer. Everything it writes lies in a run
folder inside the checkout, so a second emulator beside the first needs only another folder and port.
"""

from __future__ import annotations

from pathlib import Path

from quicksilver.errors import NotFound

DEFAULT_PORT = 4566


def checkout() -> Path:
    """The folder this code is installed from. Raises ``NotFound`` outside a checkout."""
    root = Path(__file__).resolve().parents[5]
    if not (root / "cdk.json").is_file():
        error = NotFound("The local AWS needs a checkout of Quicksilver, and this is an installed copy.")
        error.add_note("Clone the repository and run make setup there.")
        raise error
    return root


def default_run_folder() -> Path:
    """Where the emulator of ``make demo`` and ``quicksilver local`` keeps its state, log and temporary files."""
    return checkout() / ".local" / "run"
