"""What layers weigh, and what Lambda takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

LAMBDA_LIMIT_MIB = 250
"""Function and layers, unzipped (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""


def unzipped_bytes(folder: Path, *, without: Sequence[str] = ()) -> int:
    """Size of the files under ``folder``, except files and folders named in ``without``."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not set(path.relative_to(folder).parts) & set(without)
    )
