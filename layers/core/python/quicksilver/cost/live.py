"""The bill as it runs up: metric math for dashboards, made of the same price table, line by line as the bill has them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html. Each expression gives the dollars of
one period, whatever its length, so one set of them serves an hour and a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from quicksilver.cost.assembly import DeployedFunction
from quicksilver.cost.compute import FREE_STORAGE_MIB, ON_DEMAND, ON_PROVISIONED, PROVISIONED
from quicksilver.cost.prices import Charge, PriceTable
from quicksilver.cost.usage import DAYS_A_MONTH
from quicksilver.cost.workload import Assumptions

NOT_MEASURED = {
    "CloudWatch, series": "CloudWatch does not count its own series",
    "DynamoDB, kept": "no metric says how large a table is",
    "DynamoDB, kept restorable": "no metric says how large a table is",
    "Lambda, restores": "no metric counts them",
    "S3, requests that write": "counts of a bucket's requests are paid for, and these cost less",
    "Step Functions, steps": "no metric counts steps of a standard machine",
}
"""Lines of the bill that no metric gives, each with the reason."""

STANDING = "standing"
"""All that costs the same every hour, in one line."""

REQUESTS = "requests"
_GB = 2**30


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


@dataclass(frozen=True, slots=True)
class LiveBill:
    metrics: Sequence[LiveMetric]
    lines: Sequence[LiveLine]

    @property
    def total(self) -> str:
        """The expression of all lines together."""
        return f"SUM([{', '.join(line.id for line in self.lines)}])"


def live_bill(stage: LiveStage, prices: PriceTable, assumptions: Assumptions | None = None) -> LiveBill:
    """The bill of a stage by its metrics."""
    assumed = assumptions or Assumptions()
    metrics = [
        LiveMetric(REQUESTS, "AWS/ApiGateway", "Count", {"ApiName": stage.api, "Stage": stage.stage}),
        *(metric for function in stage.functions for metric in function_metrics(stage, function)),
        *_store_metrics(stage),
    ]
    lines = [
        LiveLine(f"line{number}", what, expression)
        for number, (what, expression) in enumerate(_lines(stage, _Rates(prices), assumed))
    ]
    return LiveBill(metrics, lines)


def endpoint_bill(stage: LiveStage, endpoint: str, verbs: Sequence[str], prices: PriceTable) -> LiveBill:
    """What an endpoint costs by itself: its requests at the gateway, and its score function."""
    rates = _Rates(prices)
    (function,) = [each for each in stage.functions if each.endpoint == endpoint]
    requests = [
        LiveMetric(
            f"{REQUESTS}{number}",
            "AWS/ApiGateway",
            "Count",
            {
                "ApiName": stage.api,
                "Stage": stage.stage,
                "Method": "POST",
                "Resource": f"/v1/{endpoint}/{verb}",
            },
        )
        for number, verb in enumerate(verbs)
    ]
    counted = " + ".join(_there(metric.id) for metric in requests)
    alone = replace(stage, functions=(function,))
    lines = [
        ("API Gateway, requests", f"({counted}) * {rates[Charge.API_REQUESTS]}"),
        *([("WAF, requests", f"({counted}) * {rates[Charge.WAF_REQUESTS]}")] if stage.waf else []),
        *_function_lines(alone, rates, clock=f"{REQUESTS}0"),
    ]
    return LiveBill(
        [*requests, *function_metrics(stage, function)],
        [LiveLine(f"line{number}", what, expression) for number, (what, expression) in enumerate(lines)],
    )


class _Rates:
    """Prices as they stand in an expression: all their digits, and no exponent."""

    def __init__(self, prices: PriceTable) -> None:
        self._prices = prices

    def __getitem__(self, charge: Charge) -> str:
        return f"{self._prices.prices[charge].dollars:f}"


def _there(id: str) -> str:
    """Nothing measured is nothing used, and must not take the whole sum with it."""
    return f"FILL({id}, 0)"


def _id(kind: str, function: DeployedFunction) -> str:
    return f"{kind}_{function.name.replace('-', '_')}"


def function_metrics(stage: LiveStage, function: DeployedFunction) -> Iterator[LiveMetric]:
    """What is measured of a function: runs and their duration, and what is held for it."""
    dimensions = {"FunctionName": stage.function_name(function)}
    yield LiveMetric(_id("runs", function), "AWS/Lambda", "Invocations", dimensions)
    yield LiveMetric(_id("ms", function), "AWS/Lambda", "Duration", dimensions)
    if function.endpoint in stage.held:
        held = ProvisionedMetrics(stage.function_name(function))
        yield held.runs(_id("held_runs", function))
        yield held.busy(_id("held_busy", function))
        yield held.used(_id("held_used", function))


@dataclass(frozen=True, slots=True)
class ProvisionedMetrics:
    """Metrics of provisioned concurrency are of a function version, which every release makes anew: they are searched for."""

    function: str

    def runs(self, id: str) -> LiveMetric:
        return LiveMetric(
            id, "AWS/Lambda", "ProvisionedConcurrencyInvocations", {"FunctionName": self.function}
        )

    def spilled(self, id: str) -> LiveMetric:
        name = "ProvisionedConcurrencySpilloverInvocations"
        return LiveMetric(id, "AWS/Lambda", name, {"FunctionName": self.function})

    def busy(self, id: str) -> LiveMetric:
        return self._searched(id, "ProvisionedConcurrentExecutions")

    def used(self, id: str) -> LiveMetric:
        return self._searched(id, "ProvisionedConcurrencyUtilization")

    def _searched(self, id: str, name: str) -> LiveMetric:
        return LiveMetric(
            id, "AWS/Lambda", name, {"FunctionName": self.function, "Resource": ""}, "Average", True
        )


def _store_metrics(stage: LiveStage) -> Iterator[LiveMetric]:
    for number, table in enumerate(stage.tables):
        for kind in ("Read", "Write"):
            yield LiveMetric(
                f"{kind.lower()}s_{number}",
                "AWS/DynamoDB",
                f"Consumed{kind}CapacityUnits",
                {"TableName": table},
            )
    stream, delivery = {"StreamName": stage.stream}, {"DeliveryStreamName": stage.delivery}
    yield LiveMetric("bytes_in", "AWS/Kinesis", "IncomingBytes", stream)
    yield LiveMetric("records_in", "AWS/Kinesis", "IncomingRecords", stream)
    yield LiveMetric("records_out", "AWS/Kinesis", "GetRecords.Records", stream)
    yield LiveMetric("bytes_taken", "AWS/Firehose", "DataReadFromKinesisStream.Bytes", delivery)
    yield LiveMetric("records_taken", "AWS/Firehose", "DataReadFromKinesisStream.Records", delivery)
    yield LiveMetric("objects", "AWS/Firehose", "DeliveryToS3.ObjectCount", delivery)
    yield LiveMetric("jq_ms", "AWS/Firehose", "JQProcessing.Duration", delivery)
    for number, group in enumerate(stage.log_groups):
        yield LiveMetric(f"logged_{number}", "AWS/Logs", "IncomingBytes", {"LogGroupName": group})
    yield LiveMetric(
        "stored",
        "AWS/S3",
        "BucketSizeBytes",
        {"BucketName": stage.bucket, "StorageType": "StandardStorage"},
        "Average",
    )
    if stage.workgroup:
        yield LiveMetric(
            "scanned",
            "AWS/Athena",
            "ProcessedBytes",
            {"WorkGroup": stage.workgroup, "QueryState": "SUCCEEDED", "QueryType": "DML"},
        )


def _lines(stage: LiveStage, rates: _Rates, assumed: Assumptions) -> Iterator[tuple[str, str]]:
    requests = _there(REQUESTS)
    yield "API Gateway, requests", f"{requests} * {rates[Charge.API_REQUESTS]}"
    if stage.waf:
        yield "WAF, requests", f"{requests} * {rates[Charge.WAF_REQUESTS]}"
    yield from _function_lines(stage, rates, clock=REQUESTS)
    for what, kind, charge in (
        ("DynamoDB, reads", "reads", Charge.DYNAMODB_READS),
        ("DynamoDB, writes", "writes", Charge.DYNAMODB_WRITES),
    ):
        units = " + ".join(_there(f"{kind}_{number}") for number in range(len(stage.tables)))
        yield what, f"({units}) * {rates[charge]}"
    yield from _stream_lines(stage, rates)
    logged = " + ".join(_there(f"logged_{number}") for number in range(len(stage.log_groups)))
    yield "Logs, in", f"({logged}) / {_GB} * {rates[Charge.LOGS_IN]}"
    if stage.logs_masked:
        yield "Logs, looked through to mask", f"({logged}) / {_GB} * {rates[Charge.LOGS_MASKED]}"
    months = f"{assumed.log_compression * stage.log_days / DAYS_A_MONTH:f}"
    yield "Logs, kept", f"({logged}) / {_GB} * {months} * {rates[Charge.LOGS_KEPT]}"
    # Once a day is how often S3 says it.
    yield (
        "S3, archive",
        f"FILL(stored, REPEAT) / {_GB} * {rates[Charge.S3_STORAGE]} / 730 * PERIOD({REQUESTS}) / 3600",
    )
    if stage.workgroup:
        yield "Athena, scanned", f"{_there('scanned')} / {_GB} * {rates[Charge.ATHENA_SCANNED]}"
    yield STANDING, f"TIME_SERIES({stage.standing:f} * PERIOD({REQUESTS}) / 3600)"


def _stream_lines(stage: LiveStage, rates: _Rates) -> Iterator[tuple[str, str]]:
    """Bytes as AWS rounds them up, by the average record."""
    record = "IF(records_in > 0, CEIL(bytes_in / records_in / 1024) * 1024, 0)"
    yield "Kinesis, in", f"FILL({record} * records_in, 0) / {_GB} * {rates[Charge.KINESIS_IN]}"
    yield "Kinesis, out", f"FILL({record} * records_out, 0) / {_GB} * {rates[Charge.KINESIS_OUT]}"
    months = f"{Decimal(stage.stream_hours - 24) / 730:f}"
    yield (
        "Kinesis, kept beyond a day",
        f"FILL({record} * records_in, 0) / {_GB} * {months} * {rates[Charge.KINESIS_KEPT]}",
    )
    taken = (
        "FILL(IF(records_taken > 0, CEIL(bytes_taken / records_taken / 5120) * 5120 * records_taken, 0), 0)"
    )
    yield "Firehose, in", f"{taken} / {_GB} * {rates[Charge.FIREHOSE_IN]}"
    yield "Firehose, to Parquet", f"{taken} / {_GB} * {rates[Charge.FIREHOSE_CONVERTED]}"
    yield "Firehose, parted", f"{taken} / {_GB} * {rates[Charge.FIREHOSE_PARTED]}"
    yield "Firehose, parted objects", f"{_there('objects')} * {rates[Charge.FIREHOSE_PARTED_OBJECTS]}"
    yield "Firehose, JQ", f"{_there('jq_ms')} / 3600000 * {rates[Charge.FIREHOSE_JQ]}"


def _function_lines(stage: LiveStage, rates: _Rates, *, clock: str) -> Iterator[tuple[str, str]]:
    """``clock`` is a metric whose period is that of the picture."""
    runs = " + ".join(_there(_id("runs", function)) for function in stage.functions)
    yield "Lambda, requests", f"({runs}) * {rates[Charge.LAMBDA_REQUESTS]}"
    on_demand, held, on_held, storage = [], [], [], []
    for function in stage.functions:
        gb = f"{Decimal(function.memory_mib) / 1_024:f}"
        ms = _there(_id("ms", function))
        architecture = function.architecture
        floor = stage.held.get(function.endpoint or "")
        if floor is not None:
            runs_of, held_runs = _id("runs", function), _id("held_runs", function)
            share = f"FILL(IF({runs_of} > 0, FILL({held_runs}, 0) / {runs_of}, 0), 0)"
            on_held.append(f"{ms} * {share} / 1000 * {gb} * {rates[ON_PROVISIONED[architecture]]}")
            ms = f"{ms} * (1 - {share})"
            used = _there(_id("held_used", function))
            number = f"IF({used} > 0, {_there(_id('held_busy', function))} / {used}, {floor:f})"
            held.append(f"{number} * {gb} * PERIOD({clock}) * {rates[PROVISIONED[architecture]]}")
        on_demand.append(f"{ms} / 1000 * {gb} * {rates[ON_DEMAND[architecture]]}")
        if function.storage_mib > FREE_STORAGE_MIB:
            beyond = f"{Decimal(function.storage_mib - FREE_STORAGE_MIB) / 1_024:f}"
            storage.append(f"{ms} / 1000 * {beyond} * {rates[Charge.LAMBDA_STORAGE]}")
    for what, parts in (
        ("Lambda, on demand", on_demand),
        ("Lambda, provisioned", held),
        ("Lambda, on provisioned", on_held),
        ("Lambda, storage", storage),
    ):
        if parts:
            yield what, " + ".join(parts)
