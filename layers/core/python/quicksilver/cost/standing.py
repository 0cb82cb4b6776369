"""What is paid by the hour, whether anybody asks or not, and is the same at any load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from quicksilver.cost.assembly import Assembly, takes_snapshots
from quicksilver.cost.prices import Charge, PriceTable
from quicksilver.cost.usage import Use, gb_seconds

HOURS_A_MONTH = 730

Properties = Mapping[str, Any]


def _one(_: Properties) -> int:
    return 1


def _metrics_read(alarm: Properties) -> int:
    """An alarm on an expression is billed for each metric in it; one on a single metric has no list."""
    listed = alarm.get("Metrics")
    return 1 if listed is None else sum("MetricStat" in metric for metric in listed)


def _options(check: Properties) -> int:
    """HTTPS, a string to be found, a fast interval and measured latency cost as much again, each."""
    asked = check.get("HealthCheckConfig", {})
    kind = str(asked.get("Type", ""))
    return sum(
        (kind.startswith("HTTPS"), kind.endswith("STR_MATCH"), asked.get("RequestInterval") == 10,
         bool(asked.get("MeasureLatency")))
    )  # fmt: skip


def _snapshot(function: Properties) -> Decimal:
    """A snapshot is of the memory, and kept for as long as there is its function version: of those, one at a time."""
    if not takes_snapshots(function):
        return Decimal(0)
    return gb_seconds(int(function.get("MemorySize", 128)), Decimal(HOURS_A_MONTH * 3_600))


def _hours_on_demand(stream: Properties) -> int:
    return HOURS_A_MONTH if stream.get("StreamModeDetails", {}).get("StreamMode") == "ON_DEMAND" else 0


def _shard_hours(stream: Properties) -> int:
    return 0 if _hours_on_demand(stream) else HOURS_A_MONTH * int(stream.get("ShardCount", 1))


COUNTED: tuple[tuple[str, str, Charge, Callable[[Properties], int | Decimal]], ...] = (
    ("AWS::KMS::Key", "KMS keys", Charge.KMS_KEYS, _one),
    ("AWS::KMS::ReplicaKey", "KMS keys", Charge.KMS_KEYS, _one),
    ("AWS::Lambda::Function", "Lambda, snapshots", Charge.LAMBDA_SNAPSHOTS, _snapshot),
    ("AWS::Kinesis::Stream", "Kinesis, streams", Charge.KINESIS_STREAM, _hours_on_demand),
    ("AWS::Kinesis::Stream", "Kinesis, shards", Charge.KINESIS_SHARD, _shard_hours),
    ("AWS::CloudWatch::Alarm", "CloudWatch, metrics in alarms", Charge.CLOUDWATCH_ALARMS, _metrics_read),
    ("AWS::CloudWatch::CompositeAlarm", "CloudWatch, composite alarms", Charge.CLOUDWATCH_COMPOSITES, _one),
    ("AWS::CloudWatch::Dashboard", "CloudWatch, dashboards", Charge.CLOUDWATCH_DASHBOARDS, _one),
    ("AWS::WAFv2::WebACL", "WAF, web ACLs", Charge.WAF_ACLS, _one),
    ("AWS::WAFv2::WebACL", "WAF, rules", Charge.WAF_RULES, lambda acl: len(acl.get("Rules", ()))),
    ("AWS::Route53::HealthCheck", "Route 53, health checks", Charge.ROUTE53_HEALTH_CHECKS, _one),
    ("AWS::Route53::HealthCheck", "Route 53, options", Charge.ROUTE53_HEALTH_CHECK_OPTIONS, _options),
)
"""By type of resource: what its line says, what is charged, and how much of it a resource with these properties has a month."""


def standing(assembly: Assembly) -> Iterator[Use]:
    """What the resources of a stage cost by being there."""
    for resource in assembly.resources:
        for kind, what, charge, quantity in COUNTED:
            if resource.type == kind:
                yield Use(what, charge, Decimal(quantity(resource.properties)))


def dollars_an_hour(assembly: Assembly, prices: PriceTable) -> Decimal:
    """All of it together."""
    month = sum((use.quantity * prices.prices[use.charge].dollars for use in standing(assembly)), Decimal(0))
    return month / HOURS_A_MONTH
