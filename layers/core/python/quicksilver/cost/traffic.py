"""What decisions cost: at the gateway, in the functions and stores, on the stream, in logs and counts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from quicksilver.cost.assembly import Assembly
from quicksilver.cost.compute import retraining, scheduled, scheduled_runs, scoring
from quicksilver.cost.consumers import archive, consumers, stream
from quicksilver.cost.prices import Charge
from quicksilver.cost.usage import DAYS_A_MONTH, GB, Use, rounded_up
from quicksilver.cost.workload import Workload
from quicksilver.metrics import ARM_METRICS

# Count, 4XXError, 5XXError, Latency, IntegrationLatency: what the gateway counts for each method that asks for it.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
METHOD_SERIES = 5
# Of our own, an endpoint that is well writes RequestsScored, RequestsDegraded and FeatureReadsFailed.
ENDPOINT_SERIES = 3

_WRITE_BYTES = 1_024
# Half a unit for up to 4 KB, read eventually consistent.
_READ_UNITS_A_GROUP = Decimal("0.5")


def traffic(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """Everything that is paid by use, schedules' runs among it: they come without a decision too."""
    for part in (
        _gateway,
        scoring,
        _features,
        _idempotency,
        stream,
        consumers,
        archive,
        scheduled,
        retraining,
    ):
        yield from part(assembly, workload)
    yield from _logs(assembly, workload)
    yield from _series(assembly, workload)


def _gateway(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    yield Use("API Gateway, requests", Charge.API_REQUESTS, workload.decisions)
    if assembly.of_type("AWS::WAFv2::WebACL"):
        yield Use("WAF, requests", Charge.WAF_REQUESTS, workload.decisions)


def _features(_: Assembly, workload: Workload) -> Iterator[Use]:
    units = workload.decisions * workload.assumptions.feature_groups * _READ_UNITS_A_GROUP
    yield Use("DynamoDB, reads", Charge.DYNAMODB_READS, units)


def _idempotency(_: Assembly, workload: Workload) -> Iterator[Use]:
    """A key is claimed by a write of one unit, and kept with its answer by another."""
    units = 1 + rounded_up(workload.assumptions.record_bytes, _WRITE_BYTES)
    keyed = workload.decisions * workload.assumptions.idempotent
    yield Use("DynamoDB, writes", Charge.DYNAMODB_WRITES, keyed * units)


def _logs(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """In, masked where a policy protects them, and what is there once the oldest lines are forgotten."""
    assumed = workload.assumptions
    gigabytes = workload.decisions * assumed.log_bytes / GB
    groups = assembly.of_type("AWS::Logs::LogGroup")
    yield Use("Logs, in", Charge.LOGS_IN, gigabytes)
    if any("DataProtectionPolicy" in group.properties for group in groups):
        yield Use("Logs, looked through to mask", Charge.LOGS_MASKED, gigabytes)
    days = max((int(group.properties.get("RetentionInDays", 0)) for group in groups), default=0)
    kept = gigabytes * assumed.log_compression * days / DAYS_A_MONTH
    yield Use("Logs, kept", Charge.LOGS_KEPT, kept)


def _series(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """Series of our own and of the gateway's methods, paid in the months in which anything is written to them."""
    what = "CloudWatch, series"
    # A scheduled function says that it ran: that nobody else does it would ring.
    yield Use(what, Charge.CLOUDWATCH_SERIES, Decimal(len(list(scheduled_runs(assembly)))))
    if workload.requests_per_second:
        busy = [endpoint for endpoint in assembly.endpoints if workload.of(endpoint)]
        methods = sum(
            bool(setting.get("MetricsEnabled"))
            and any(f"~1{name}~1score" in setting["ResourcePath"] for name in busy)
            for stage in assembly.of_type("AWS::ApiGateway::Stage")
            for setting in stage.properties.get("MethodSettings", ())
        )
        by_arm = len(ARM_METRICS) * workload.assumptions.arms
        series = methods * METHOD_SERIES + len(busy) * (ENDPOINT_SERIES + by_arm)
        yield Use(what, Charge.CLOUDWATCH_SERIES, Decimal(series))
