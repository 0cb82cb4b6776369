"""What the live bill is written in: metrics by their ids, a line of dollars over them, and the stage they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from quicksilver.cost.assembly import DeployedFunction
from quicksilver.cost.prices import Charge, PriceTable


@dataclass(frozen=True, slots=True)
class LiveMetric:
    """A metric under the id by which expressions know it; with ``search``, the largest of all that have these dimensions.

    A dimension that is searched over has no value.
    """

    id: str
    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str = "Sum"
    search: bool = False

    def searched(self, statistic: str, period: int) -> str:
        """The search for it. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html"""
        schema = ",".join([self.namespace, *self.dimensions])
        values = "".join(f' {name}="{value}"' for name, value in self.dimensions.items() if value)
        return f"SEARCH('{{{schema}}} MetricName=\"{self.name}\"{values}', '{statistic}', {period})"


@dataclass(frozen=True, slots=True)
class LiveLine:
    """One line of the bill: its id in metric math, what the bill calls it, and the expression of its dollars."""

    id: str
    what: str
    expression: str


@dataclass(frozen=True, slots=True)
class LiveStage:
    """What is measured, by its physical names. ``held`` is the provisioned concurrency of each endpoint while nothing is asked.

    An endpoint that holds none is not in it. ``standing`` are the dollars of an hour that nothing measures, since they are always the same.
    """

    stage: str
    api: str
    functions: Sequence[DeployedFunction]
    held: Mapping[str, Decimal]
    tables: Sequence[str]
    stream: str
    stream_hours: int
    delivery: str
    log_groups: Sequence[str]
    log_days: int
    logs_masked: bool
    bucket: str
    workgroup: str | None
    waf: bool
    standing: Decimal

    def function_name(self, function: DeployedFunction) -> str:
        return f"quicksilver-{self.stage}-{function.name}"


class Rates:
    """Prices as they stand in an expression: all their digits, and no exponent."""

    def __init__(self, prices: PriceTable) -> None:
        self._prices = prices

    def __getitem__(self, charge: Charge) -> str:
        return f"{self._prices.prices[charge].dollars:f}"


def there(id: str) -> str:
    """Nothing measured is nothing used, and must not take the whole sum with it."""
    return f"FILL({id}, 0)"
