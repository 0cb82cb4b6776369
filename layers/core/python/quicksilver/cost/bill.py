"""A bill: what is used in a month, by how much, and what that costs; idle, at a rate, and for each million decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from quicksilver.cost.assembly import Assembly
from quicksilver.cost.prices import Charge, PriceTable
from quicksilver.cost.resource_types import require_known_types
from quicksilver.cost.standing import standing
from quicksilver.cost.traffic import traffic
from quicksilver.cost.usage import Use
from quicksilver.cost.workload import Workload

MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is paid for: what it is, what AWS calls it, its price, and how much of it a month."""

    what: str
    charge: Charge
    unit: str
    price: Decimal
    idle_quantity: Decimal
    quantity: Decimal

    @property
    def idle(self) -> Decimal:
        """Dollars a month without a request."""
        return self.idle_quantity * self.price

    @property
    def dollars(self) -> Decimal:
        """Dollars a month at the workload's rate."""
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Bill:
    """What a stage costs. The lines are exact; rounding is for whoever prints them."""

    stage: str
    workload: Workload
    lines: Sequence[Line]

    @property
    def idle(self) -> Decimal:
        return sum((line.idle for line in self.lines), Decimal(0))

    @property
    def dollars(self) -> Decimal:
        return sum((line.dollars for line in self.lines), Decimal(0))

    def per_million(self, line: Line | None = None) -> Decimal:
        """What a million decisions add to what is paid idle, of one line or of all, at the workload's rate."""
        paid, idle = (line.dollars, line.idle) if line else (self.dollars, self.idle)
        return (paid - idle) / (self.workload.decisions / MILLION)


def bill(assembly: Assembly, prices: PriceTable, workload: Workload) -> Bill:
    """The bill of a stage under a workload. Raises ``InvalidInput`` for a resource that nobody has priced or called free."""
    require_known_types(assembly)
    idle = _month(assembly, workload.at(Decimal(0)))
    busy = _month(assembly, workload)
    lines = []
    for what, charge in sorted({**idle, **busy}, key=lambda key: (list(Charge).index(key[1]), key[0])):
        price = prices.prices[charge]
        lines.append(
            Line(
                what=what,
                charge=charge,
                unit=price.unit,
                price=price.dollars,
                idle_quantity=idle.get((what, charge), Decimal(0)),
                quantity=busy.get((what, charge), Decimal(0)),
            )
        )
    return Bill(assembly.stage, workload, lines)


def _month(assembly: Assembly, workload: Workload) -> Mapping[tuple[str, Charge], Decimal]:
    return _added([*standing(assembly), *traffic(assembly, workload)])


def _added(uses: Iterable[Use]) -> dict[tuple[str, Charge], Decimal]:
    added: dict[tuple[str, Charge], Decimal] = {}
    for use in uses:
        if use.quantity:
            key = (use.what, use.charge)
            added[key] = added.get(key, Decimal(0)) + use.quantity
    return added


def cents(dollars: Decimal) -> Decimal:
    """Rounded to the cent, half to even."""
    return dollars.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
