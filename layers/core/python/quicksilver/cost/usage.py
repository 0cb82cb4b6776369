"""How much of one thing is used in a month, and the units that AWS rounds it up to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from quicksilver.cost.prices import Charge

GB = Decimal(2**30)
MIB_A_GB = Decimal(1_024)
DAYS_A_MONTH = Decimal(730) / 24


@dataclass(frozen=True, slots=True)
class Use:
    """``quantity`` of what ``charge`` is for, a month, in the unit of its price."""

    what: str
    charge: Charge
    quantity: Decimal


def rounded_up(amount: Decimal, unit: int = 1) -> Decimal:
    """``amount`` in whole units, each begun one counted: 2,560 bytes are three of 1,024."""
    return (amount / unit).to_integral_value(rounding=ROUND_CEILING)


def gb_seconds(memory_mib: int, seconds: Decimal) -> Decimal:
    return Decimal(memory_mib) / MIB_A_GB * seconds
