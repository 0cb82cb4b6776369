"""How code is released."""

from __future__ import annotations

from enum import Enum


class Release(Enum):
    """How ``live`` moves to a new function version."""

    DIRECT = "direct"  # by CloudFormation, at once, unguarded: the emulator has no CodeDeploy
    ALL_AT_ONCE = "all_at_once"  # by CodeDeploy, at once
    CANARY = "canary"  # by CodeDeploy, 10 % for five minutes, then the rest
