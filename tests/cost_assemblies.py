"""Small cloud assemblies to price: two endpoints, a stream and what reads it, written as ``cdk synth`` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quicksilver.cost.assembly import Assembly, Resource

STAGE = "prod"


def function(name: str, *, memory: int = 1_024, **variables: str) -> Resource:
    words = name.split("-")
    return Resource(
        "".join(word.capitalize() for word in words),
        "AWS::Lambda::Function",
        {
            "FunctionName": f"quicksilver-{STAGE}-{name}",
            "MemorySize": memory,
            "Architectures": ["arm64"],
            "Environment": {"Variables": variables},
        },
    )


def version(function_id: str, provisioned: int) -> Resource:
    config = {"ProvisionedConcurrentExecutions": provisioned}
    return Resource(
        f"{function_id}Version",
        "AWS::Lambda::Version",
        {"FunctionName": {"Ref": function_id}, "ProvisionedConcurrencyConfig": config},
    )


def every_minute(function_id: str) -> Resource:
    target = {"Arn": {"Fn::GetAtt": [function_id, "Arn"]}, "Id": "Target0"}
    return Resource(
        f"{function_id}Rule",
        "AWS::Events::Rule",
        {"ScheduleExpression": "rate(1 minute)", "Targets": [target]},
    )


def reader(function_id: str, batch_size: int) -> Resource:
    return Resource(
        f"{function_id}Mapping",
        "AWS::Lambda::EventSourceMapping",
        {"FunctionName": {"Ref": function_id}, "BatchSize": batch_size, "MaximumBatchingWindowInSeconds": 5},
    )


SCORING = [
    function("score-card-fraud", memory=1_769, QUICKSILVER_ENDPOINT="card-fraud"),
    version("ScoreCardFraud", 10),
    function("score-credit-line", memory=1_769, QUICKSILVER_ENDPOINT="credit-line"),
    version("ScoreCreditLine", 2),
]
STREAM = [
    Resource(
        "Predictions",
        "AWS::Kinesis::Stream",
        {"RetentionPeriodHours": 168, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}},
    ),
    function("rollup"),
    reader("Rollup", 1_000),
    function("shadow", memory=1_769),
    reader("Shadow", 500),
    Resource(
        "Delivery",
        "AWS::KinesisFirehose::DeliveryStream",
        {
            "ExtendedS3DestinationConfiguration": {
                "DataFormatConversionConfiguration": {"Enabled": True},
                "DynamicPartitioningConfiguration": {"Enabled": True},
            }
        },
    ),
]
REST = [
    function("redeliver", memory=512),
    every_minute("Redeliver"),
    *(Resource(f"Key{number}", "AWS::KMS::Key") for number in range(4)),
    Resource("Alarm", "AWS::CloudWatch::Alarm", {"MetricName": "Errors"}),
    Resource("Api", "AWS::ApiGateway::RestApi"),
]


def assembly(*more: Resource) -> Assembly:
    return Assembly(STAGE, [*SCORING, *STREAM, *REST, *more])


def written(folder: Path, found: Assembly) -> Path:
    """The assembly as a folder with one template."""
    folder.mkdir(parents=True, exist_ok=True)
    resources: Mapping[str, Any] = {
        item.id: {"Type": item.type, "Properties": dict(item.properties)} for item in found.resources
    }
    path = folder / f"quicksilver-{found.stage}-everything.template.json"
    path.write_text(json.dumps({"Resources": resources}))
    return folder
