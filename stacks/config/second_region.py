"""A second region that can answer when the first cannot: what replicates to it, who writes, and whose turn it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from stacks.config.setting import Setting, require

_REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,2}-[1-9]")
_MULTI_REGION_KEY = re.compile(r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:key/mrk-[0-9a-f]{32}")


class Side(Enum):
    """Which of a stage's two regions is meant."""

    PRIMARY = "primary"
    STANDBY = "standby"


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondRegion(Setting):
    """The stage is deployed to ``primary``, and with ``-c side=standby`` to ``standby``, which reads what is replicated.

    ``approvals_key`` is the primary's key that signs approvals, by its ARN, which its first deployment tells; until it is
    known, the standby has its data stack alone. ``standby_certificate_arn`` is the certificate for the name of the scoring API
    there, where it has a name. ``failed_over`` makes the standby the one that decides: the primary's
    registry loses the right to write, and the standby gets one.
    """

    primary: str
    standby: str
    approvals_key: str | None = None
    standby_certificate_arn: str | None = None
    failed_over: bool = False

    def __post_init__(self) -> None:
        for side, region in ((Side.PRIMARY, self.primary), (Side.STANDBY, self.standby)):
            require(
                _REGION.fullmatch(region) is not None,
                f"The {side.value} region is {region!r}, which is no region of AWS, such as eu-central-1.",
            )
        require(
            self.primary != self.standby,
            f"The standby region is the primary one, {self.primary}: both would be lost together.",
        )
        if self.approvals_key is not None:
            found = _MULTI_REGION_KEY.fullmatch(self.approvals_key)
            require(
                found is not None,
                f"The approvals' key is {self.approvals_key!r}, which is no ARN of a multi-Region key "
                "(the output SigningKey of the primary's data stack).",
            )
            require(
                found is None or found["region"] == self.primary,
                f"The approvals' key is of another region than the primary one, {self.primary}.",
            )
        require(
            not self.failed_over or self.approvals_key is not None,
            "A stage that has failed over needs approvals_key: without it the standby can check no approval.",
        )

    def region(self, side: Side) -> str:
        return self.primary if side is Side.PRIMARY else self.standby
