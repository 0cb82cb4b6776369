"""How many execution environments are kept warm for an endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import available_timezones

from stacks.config.setting import Setting, require

_FIELD = r"[\dA-Z*?/,#LW-]+"
_CRON = re.compile(rf"({_FIELD}) ({_FIELD}) ({_FIELD}) ({_FIELD}) ({_FIELD}) ({_FIELD})")

MAX_CONCURRENCY = 100_000
"""Far beyond any account's quota: what it catches is a slip of the hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor(Setting):
    """From the moments of ``cron`` on, at least ``environments`` are warm. ``cron`` is AWS's: minute, hour, day of month, month,
    day of week, year, one of the two days ``?``."""

    cron: str
    environments: int
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        fields = _CRON.fullmatch(self.cron)
        require(
            fields is not None and (fields[3] == "?") != (fields[5] == "?"),
            f"{self.cron!r} is no schedule of AWS's, such as '0 6 ? * MON-FRI *': minute, hour, day of month, month, day of week, "
            "year, and one of the two days is '?'.",
        )
        require(self.timezone in available_timezones(), f"There is no time zone {self.timezone!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProvisionedConcurrency(Setting):
    """Between ``floor`` and ``ceiling`` environments are warm, as many as keep ``busy_percent`` of them at work.

    ``floors`` move the lower bound by the clock, for traffic that is known to come.
    """

    floor: int
    ceiling: int
    busy_percent: int = 70
    floors: tuple[Floor, ...] = ()

    def __post_init__(self) -> None:
        require(
            1 <= self.floor <= self.ceiling <= MAX_CONCURRENCY,
            f"A provisioned concurrency of {self.floor} to {self.ceiling} is none; "
            f"the floor is at least 1, and the ceiling at least the floor and at most {MAX_CONCURRENCY}.",
        )
        # As CDK bounds the target of its own auto scaling of an alias.
        require(
            10 <= self.busy_percent <= 90,
            f"Keeping {self.busy_percent} % of the warm environments busy cannot be steered by; it takes 10 to 90.",
        )
        for floor in self.floors:
            require(
                1 <= floor.environments <= self.ceiling,
                f"The floor of {floor.environments} at {floor.cron!r} must be 1 to the ceiling of {self.ceiling}.",
            )
        moments = [(floor.cron, floor.timezone) for floor in self.floors]
        require(len(set(moments)) == len(moments), "Two floors are for the same moments.")
