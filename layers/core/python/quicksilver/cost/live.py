"""The bill as it runs up: metric math for dashboards, made of the same price table, line by line as the bill has them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html. Each expression gives the dollars of
one period, whatever its length, so one set of them serves an hour and a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from quicksilver.cost.live_functions import function_lines, function_metrics
from quicksilver.cost.live_metrics import LiveLine, LiveMetric, LiveStage, Rates, there
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
        for number, (what, expression) in enumerate(_lines(stage, Rates(prices), assumed))
    ]
    return LiveBill(metrics, lines)


def endpoint_bill(stage: LiveStage, endpoint: str, verbs: Sequence[str], prices: PriceTable) -> LiveBill:
    """What an endpoint costs by itself: its requests at the gateway, and its score function."""
    rates = Rates(prices)
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
    counted = " + ".join(there(metric.id) for metric in requests)
    alone = replace(stage, functions=(function,))
    lines = [
        ("API Gateway, requests", f"({counted}) * {rates[Charge.API_REQUESTS]}"),
        *([("WAF, requests", f"({counted}) * {rates[Charge.WAF_REQUESTS]}")] if stage.waf else []),
        *function_lines(alone, rates, clock=f"{REQUESTS}0"),
    ]
    return LiveBill(
        [*requests, *function_metrics(stage, function)],
        [LiveLine(f"line{number}", what, expression) for number, (what, expression) in enumerate(lines)],
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


def _lines(stage: LiveStage, rates: Rates, assumed: Assumptions) -> Iterator[tuple[str, str]]:
    requests = there(REQUESTS)
    yield "API Gateway, requests", f"{requests} * {rates[Charge.API_REQUESTS]}"
    if stage.waf:
        yield "WAF, requests", f"{requests} * {rates[Charge.WAF_REQUESTS]}"
    yield from function_lines(stage, rates, clock=REQUESTS)
    for what, kind, charge in (
        ("DynamoDB, reads", "reads", Charge.DYNAMODB_READS),
        ("DynamoDB, writes", "writes", Charge.DYNAMODB_WRITES),
    ):
        units = " + ".join(there(f"{kind}_{number}") for number in range(len(stage.tables)))
        yield what, f"({units}) * {rates[charge]}"
    yield from _stream_lines(stage, rates)
    logged = " + ".join(there(f"logged_{number}") for number in range(len(stage.log_groups)))
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
        yield "Athena, scanned", f"{there('scanned')} / {_GB} * {rates[Charge.ATHENA_SCANNED]}"
    yield STANDING, f"TIME_SERIES({stage.standing:f} * PERIOD({REQUESTS}) / 3600)"


def _stream_lines(stage: LiveStage, rates: Rates) -> Iterator[tuple[str, str]]:
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
    yield "Firehose, parted objects", f"{there('objects')} * {rates[Charge.FIREHOSE_PARTED_OBJECTS]}"
    yield "Firehose, JQ", f"{there('jq_ms')} / 3600000 * {rates[Charge.FIREHOSE_JQ]}"
