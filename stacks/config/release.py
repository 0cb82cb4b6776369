"""How code is released: how ``live`` moves to a new function version."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stacks.config.setting import Setting, require

ALARMS_NEED_MINUTES = 5
"""A metric is there after a minute or two, and an alarm looks at whole minutes: what is over sooner rings when it is over."""

LONGEST_MINUTES = 2_880
"""How long CodeDeploy lets a Lambda deployment shift traffic.

https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html
"""


class Shift(Enum):
    """The way of the traffic."""

    DIRECT = "direct"  # by CloudFormation, at once, unguarded: the emulator has no CodeDeploy
    ALL_AT_ONCE = "all_at_once"  # by CodeDeploy, at once
    CANARY = "canary"  # by CodeDeploy, a share for some minutes, then the rest
    LINEAR = "linear"  # by CodeDeploy, a share more every so many minutes


@dataclass(frozen=True, kw_only=True, slots=True)
class Release(Setting):
    """``percent`` of the traffic move at first, and with ``LINEAR`` again after each of ``minutes``.

    ``changed_answers`` names saved events (``events/<name>.json``) whose answers this release changes on purpose: a
    before-traffic hook would refuse it for them. They are taken out again with the next release.
    """

    shift: Shift
    percent: int = 0
    minutes: int = 0
    changed_answers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shift in (Shift.DIRECT, Shift.ALL_AT_ONCE):
            require(
                self.percent == self.minutes == 0,
                f"A release {self.shift.value} moves all traffic at once; it has no percent and no minutes.",
            )
            return
        require(
            1 <= self.percent <= 99,
            f"A {self.shift.value} release of {self.percent} % at first must have 1 to 99.",
        )
        require(
            self.minutes >= 1, f"A {self.shift.value} release of {self.minutes} minutes must have at least 1."
        )
        require(
            ALARMS_NEED_MINUTES <= self.total_minutes <= LONGEST_MINUTES,
            f"A {self.shift.value} release of {self.percent} % and {self.minutes} minutes takes {self.total_minutes}; "
            f"it must be {ALARMS_NEED_MINUTES}, so that an alarm can ring before it is over, to {LONGEST_MINUTES}.",
        )

    @property
    def total_minutes(self) -> int:
        """From the first traffic to the last."""
        if self.shift is Shift.LINEAR:
            return self.minutes * ((99 // self.percent) if self.percent else 0)
        return self.minutes
