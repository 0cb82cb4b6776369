"""What reads the prediction stream: batches of the rollup and of the shadow function, and Firehose into the archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from quicksilver.cost.assembly import Assembly, DeployedFunction, Resource
from quicksilver.cost.compute import runs
from quicksilver.cost.prices import Charge
from quicksilver.cost.usage import GB, Use, rounded_up
from quicksilver.cost.workload import SECONDS_A_MONTH, Workload
from quicksilver.rollup_counts import KEEP_DAYS, LANES

# On-demand streams begin with four shards, and take twice what came before; a shard takes 1 MiB or 1,000 records a second.
# https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html
_FIRST_SHARDS = 4
_HEADROOM = 2
_SHARD_BYTES = 2**20
_SHARD_RECORDS = 1_000

_KINESIS_STEP = 1_024
_FIREHOSE_STEP = 5 * 1_024
_FIREHOSE_OBJECT_BYTES = 64 * 2**20
_FIREHOSE_OBJECT_SECONDS = 60

# The rollup's items (rollup/fold.py): counts of two arms, ten bytes for each identity, and 256 of these before a page.
_COUNTS_BYTES_AN_ARM = 512
_IDENTITY_BYTES = 10
_PAGE_IDENTITIES = 256
_WRITE_BYTES = 1_024
_READ_BYTES = 4_096


def shards(workload: Workload) -> int:
    rate = workload.requests_per_second * _HEADROOM
    needed = max(rate * workload.assumptions.record_bytes / _SHARD_BYTES, rate / _SHARD_RECORDS)
    return max(_FIRST_SHARDS, int(rounded_up(needed)))


@dataclass(frozen=True, slots=True)
class Batches:
    """What an event source mapping hands over a month: so many batches, of so many records on average."""

    number: Decimal
    records: Decimal


def batches(mapping: Resource, workload: Workload) -> Batches:
    """A shard's batch is all that comes in the window after its first record, or as many as fit."""
    rate = workload.requests_per_second / shards(workload)
    window = int(mapping.properties.get("MaximumBatchingWindowInSeconds", 0))
    records = min(Decimal(int(mapping.properties.get("BatchSize", 100))), 1 + rate * window)
    return Batches(workload.decisions / records, records)


def stream(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """The bytes of the stream: in, out once for each reader, and kept beyond the first day."""
    if not workload.requests_per_second:
        return
    record = rounded_up(workload.assumptions.record_bytes, _KINESIS_STEP) * _KINESIS_STEP
    gigabytes = workload.decisions * record / GB
    readers = len(_mappings(assembly)) + len(assembly.of_type("AWS::KinesisFirehose::DeliveryStream"))
    for kinesis in assembly.of_type("AWS::Kinesis::Stream"):
        hours = int(kinesis.properties.get("RetentionPeriodHours", 24))
        yield Use("Kinesis, in", Charge.KINESIS_IN, gigabytes)
        yield Use("Kinesis, out", Charge.KINESIS_OUT, gigabytes * readers)
        kept = gigabytes * max(0, hours - 24) / 730
        yield Use("Kinesis, kept beyond a day", Charge.KINESIS_KEPT, kept)


def consumers(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """The functions that read the stream, and what they write."""
    if not workload.requests_per_second:
        return
    assumed = workload.assumptions
    for mapping, function in _mappings(assembly):
        handed = batches(mapping, workload)
        if function.name == "shadow":
            ms = assumed.shadow_ms + handed.records * assumed.shadow_us_a_record * assumed.shadows / 1_000
            yield from _shadow_scores(handed, workload)
        else:
            ms = assumed.rollup_ms + handed.records * assumed.rollup_us_a_record / 1_000
            yield from _rollup_items(assembly, function, handed, workload)
        yield from runs(function, handed.number, ms)


def _mappings(assembly: Assembly) -> list[tuple[Resource, DeployedFunction]]:
    return [
        (mapping, function)
        for mapping in assembly.of_type("AWS::Lambda::EventSourceMapping")
        for function in assembly.functions_in(mapping.properties.get("FunctionName"))
    ]


def _shadow_scores(handed: Batches, workload: Workload) -> Iterator[Use]:
    assumed = workload.assumptions
    if assumed.shadows:
        yield Use("S3, requests that write", Charge.S3_PUTS, handed.number)
        kept = workload.decisions * assumed.shadow_bytes * assumed.shadows * assumed.archive_months / GB
        yield Use("S3, archive", Charge.S3_STORAGE, kept)


def _rollup_items(
    assembly: Assembly, function: DeployedFunction, handed: Batches, workload: Workload
) -> Iterator[Use]:
    """A batch changes a lane for each endpoint and range of hashes in it: read the lane and its pages, write it."""
    told = function.variables
    period = int(told.get("QUICKSILVER_ROLLUP_PERIOD_SECONDS", 60))
    days = int(told.get("QUICKSILVER_ROLLUP_KEEP_DAYS", KEEP_DAYS))
    counts = _COUNTS_BYTES_AN_ARM * workload.assumptions.arms
    kept = Decimal(0)
    for endpoint in assembly.endpoints:
        rate = workload.of(endpoint)
        if not rate:
            continue
        records = handed.records * workload.shares[endpoint]
        lanes = min(max(Decimal(1), Decimal(LANES) / shards(workload)), max(Decimal(1), records))
        new = max(Decimal(1), records / lanes)
        # Recent identities go to a page when they are as many as a page holds; before that half of one is there.
        recent = new if new >= _PAGE_IDENTITIES else new + Decimal(_PAGE_IDENTITIES) / 2
        page = max(Decimal(_PAGE_IDENTITIES), new)
        lane_bytes = counts + recent * _IDENTITY_BYTES
        # A batch without a record of the endpoint changes nothing of it.
        changes = handed.number * min(Decimal(1), records) * lanes
        pages = changes * min(Decimal(1), new / _PAGE_IDENTITIES)
        pages_there = rate * period / LANES / page / 2
        page_bytes = page * _IDENTITY_BYTES
        yield Use(
            "DynamoDB, writes",
            Charge.DYNAMODB_WRITES,
            changes * rounded_up(lane_bytes, _WRITE_BYTES) + pages * rounded_up(page_bytes, _WRITE_BYTES),
        )
        yield Use(
            "DynamoDB, reads",
            Charge.DYNAMODB_READS,
            changes * (rounded_up(lane_bytes, _READ_BYTES) + pages_there * page_bytes / _READ_BYTES),
        )
        kept += days * 86_400 * (rate * _IDENTITY_BYTES + Decimal(LANES) / period * counts) / GB
    yield Use("DynamoDB, kept", Charge.DYNAMODB_STORAGE, kept)
    yield Use("DynamoDB, kept restorable", Charge.DYNAMODB_RECOVERY, kept)


def archive(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """Firehose, by what it takes in, and the objects that it leaves."""
    if not workload.requests_per_second:
        return
    assumed = workload.assumptions
    record = rounded_up(assumed.record_bytes, _FIREHOSE_STEP) * _FIREHOSE_STEP
    gigabytes = workload.decisions * record / GB
    for delivery in assembly.of_type("AWS::KinesisFirehose::DeliveryStream"):
        settings = delivery.properties.get("ExtendedS3DestinationConfiguration", {})
        yield Use("Firehose, in", Charge.FIREHOSE_IN, gigabytes)
        if settings.get("DataFormatConversionConfiguration", {}).get("Enabled"):
            yield Use("Firehose, to Parquet", Charge.FIREHOSE_CONVERTED, gigabytes)
        objects = sum(
            (_objects(workload.of(name), assumed.record_bytes) for name in assembly.endpoints), Decimal(0)
        )
        if settings.get("DynamicPartitioningConfiguration", {}).get("Enabled"):
            yield Use("Firehose, parted", Charge.FIREHOSE_PARTED, gigabytes)
            yield Use("Firehose, parted objects", Charge.FIREHOSE_PARTED_OBJECTS, objects)
            yield Use(
                "Firehose, JQ", Charge.FIREHOSE_JQ, workload.decisions * assumed.jq_us / 1_000_000 / 3_600
            )
        yield Use("S3, requests that write", Charge.S3_PUTS, objects)
        kept = workload.decisions * assumed.record_bytes * assumed.archive_months / GB
        yield Use("S3, archive", Charge.S3_STORAGE, kept)


def _objects(rate: Decimal, record_bytes: Decimal) -> Decimal:
    """An endpoint's objects a month: one a minute where anything came, or one for each 64 MiB."""
    by_time = min(rate, Decimal(1) / _FIREHOSE_OBJECT_SECONDS)
    return max(by_time, rate * record_bytes / _FIREHOSE_OBJECT_BYTES) * SECONDS_A_MONTH
