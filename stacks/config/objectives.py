"""What an endpoint's callers are promised, and what its answers are held to."""

from __future__ import annotations

from dataclasses import dataclass

from stacks.burn_rate import FASTEST, LEAST_TARGET_BP, WHOLE_BP
from stacks.config.setting import Setting, require


@dataclass(frozen=True, kw_only=True, slots=True)
class Objectives(Setting):
    """Objectives over thirty days, in basis points: 9,990 is 99.9 %.

    Of ``availability_bp`` of its requests an endpoint answers, and ``latency_bp`` of its single decisions leave the API
    within ``latency_ms``. At most ``degraded_bp`` of an hour's answers apply a policy in place of a feature or a model, and at most
    ``stale_bp`` miss a feature because its value is too old.
    """

    availability_bp: int = 9_990
    latency_ms: int = 500
    latency_bp: int = 9_900
    degraded_bp: int = 500
    stale_bp: int = 100

    def __post_init__(self) -> None:
        for name, target_bp in (("availability", self.availability_bp), ("latency", self.latency_bp)):
            require(
                target_bp < WHOLE_BP,
                f"An objective of {name} of {target_bp} basis points leaves no budget for a single failure; "
                f"it must be below {WHOLE_BP}.",
            )
            require(
                target_bp >= LEAST_TARGET_BP,
                f"An objective of {name} of {target_bp} basis points is too low: even a total outage would not burn its budget "
                f"{FASTEST} times too fast; it must be at least {LEAST_TARGET_BP}.",
            )
        for name, share_bp in (("degraded", self.degraded_bp), ("stale", self.stale_bp)):
            require(
                1 <= share_bp < WHOLE_BP,
                f"An objective of at most {share_bp} basis points of {name} answers must be 1 to {WHOLE_BP - 1}.",
            )
        require(self.latency_ms >= 1, f"An objective of {self.latency_ms} ms is before a request arrives.")
