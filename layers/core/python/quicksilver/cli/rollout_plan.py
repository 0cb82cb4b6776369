"""A rollout's plan as people type it: steps in per cent, a duration, a file of guards."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

from quicksilver.errors import FieldError, InvalidInput
from quicksilver.guard_policy import Guards
from quicksilver.rollout_plan import check_steps

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")


def steps_bp(text: str) -> tuple[int, ...]:
    """``0.5,5,100`` as basis points. Raises ``InvalidInput`` naming what is no share, or why they are no steps."""
    shares = tuple(_share_bp(part.strip().removesuffix("%").strip()) for part in text.split(","))
    try:
        check_steps(shares)
    except ValueError as error:
        raise _refused("--steps", str(error)) from None
    return shares


def _share_bp(text: str) -> int:
    try:
        share_bp = Decimal(text) * 100
        whole = int(share_bp)
    except (InvalidOperation, ValueError, OverflowError):
        raise _refused("--steps", f"{text!r} is no share in per cent, such as 0.5 or 25") from None
    if share_bp != whole:
        raise _refused("--steps", f"{text} has more than two decimals")
    if not 1 <= whole <= 10_000:
        raise _refused("--steps", f"{text} is not a share from 0.01 to 100 per cent")
    return whole


def bake_seconds(text: str) -> int:
    """``30s``, ``10m``, ``2h`` or ``1d`` in seconds. Raises ``InvalidInput``."""
    seconds = None if text.startswith("0") else duration_seconds(text)
    if seconds is None:
        raise _refused("--bake", f"{text!r} is no duration, such as 30s, 10m, 2h or 1d")
    return seconds


def duration_seconds(text: str) -> int | None:
    """A number with s, m, h or d, in seconds; None for anything else."""
    parts = _DURATION.fullmatch(text)
    return int(parts[1]) * _UNITS[parts[2]] if parts else None


def in_words(seconds: int) -> str:
    """The same the other way: the largest unit that is whole."""
    unit = next(unit for unit in reversed(_UNITS) if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


def read_guards(file: Path | None) -> Guards:
    """The guards of a file, or the usual ones. Raises ``InvalidInput``."""
    if file is None:
        return Guards()
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(
            f"The guards file cannot be read: {reason}.", [FieldError("--guards", str(file))]
        ) from None
    return Guards.from_toml(text)


def _refused(option: str, reason: str) -> InvalidInput:
    return InvalidInput("The rollout cannot start.", [FieldError(option, reason)])
