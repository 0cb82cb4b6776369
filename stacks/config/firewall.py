"""What the firewall in front of the APIs lets through."""

from __future__ import annotations

from dataclasses import dataclass

from stacks.config.setting import Setting, require

LEAST_PER_MINUTE, MOST_PER_MINUTE = 10, 2_000_000_000
"""What AWS WAF takes as a limit: https://docs.aws.amazon.com/waf/latest/APIReference/API_RateBasedStatement.html."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Firewall(Setting):
    """How many requests of one IP address are let through to each API in a minute. A gateway's throttle is for keys and
    methods, whoever sends; this is for whoever sends, before a signature is looked at."""

    scoring_per_minute: int
    registry_per_minute: int

    def __post_init__(self) -> None:
        for name, limit in (("scoring", self.scoring_per_minute), ("the registry", self.registry_per_minute)):
            require(
                LEAST_PER_MINUTE <= limit <= MOST_PER_MINUTE,
                f"A firewall that lets {limit} requests a minute of one address through to {name} is none; "
                f"it must be {LEAST_PER_MINUTE} to {MOST_PER_MINUTE}.",
            )
