"""How much is let through."""

from __future__ import annotations

from dataclasses import dataclass

from stacks.config.setting import Setting, require


@dataclass(frozen=True, kw_only=True, slots=True)
class Throttle(Setting):
    """Requests per second that are let through, and how many may come at once."""

    rate_per_second: int
    burst: int

    def __post_init__(self) -> None:
        require(
            self.rate_per_second >= 1,
            f"A throttle of {self.rate_per_second} requests per second lets nothing through.",
        )
        require(self.burst >= 1, f"A throttle with a burst of {self.burst} lets nothing through.")
