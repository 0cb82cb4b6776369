"""The alarms that each kind of resource must have, held against the templates themselves.

So a queue that somebody adds by whatever construct has its alarm, or the stage is not built. Pure: templates in, nothing out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.burn_rate import BURN_RATES
from stacks.config import ConfigError, Stage
from stacks.constructs.count_alarms import ENDPOINT

Template = Mapping[str, Any]
Resource = tuple[str, str]
"""A resource by its stack and logical id."""

REQUIRED: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "AWS::SQS::Queue": (
        "queue",
        "QueueName",
        ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"),
    ),
    "AWS::Lambda::Function": ("function", "FunctionName", ("Errors", "Throttles")),
    "AWS::Kinesis::Stream": (
        "stream",
        "StreamName",
        ("WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded"),
    ),
    "AWS::KinesisFirehose::DeliveryStream": (
        "delivery stream",
        "DeliveryStreamName",
        ("DeliveryToS3.DataFreshness", "DeliveryToS3.Success", "FailedConversion.Records"),
    ),
    "AWS::DynamoDB::Table": ("table", "TableName", ("ReadThrottleEvents", "WriteThrottleEvents")),
    "AWS::DynamoDB::GlobalTable": ("table", "TableName", ("ReadThrottleEvents", "WriteThrottleEvents")),
    "AWS::Events::Rule": ("rule", "RuleName", ("FailedInvocations",)),
    "AWS::StepFunctions::StateMachine": (
        "state machine",
        "StateMachineArn",
        ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"),
    ),
}
"""By type: what it is called, the dimension that tells its metrics from others', and the metrics that an alarm watches."""

CONSUMER = "IteratorAge"
"""Of each function that an event source mapping has read a stream."""


def require_alarms(stage: Stage, templates: Mapping[str, Template]) -> None:
    """Raise ``ConfigError`` for the first resource of the stage's stacks, by their names, or endpoint that lacks an alarm it must have.

    An emulated stage has no alarms and needs none.
    """
    if stage.emulated:
        return
    watched = set(_watched(templates))
    for template_name, template in templates.items():
        for id, resource in template["Resources"].items():
            for kind, dimension, metric in _required(resource):
                of = [(template_name, id)]
                if kind == "stream consumer":
                    of = list(_resources(resource["Properties"]["FunctionName"], template_name, templates))
                # What has a name that is written out may be watched by that.
                name = resource.get("Properties", {}).get(dimension)
                known_as = [*of, name] if isinstance(name, str) else of
                if not any((metric, dimension, known) in watched for known in known_as):
                    raise ConfigError(
                        f"Stage {stage.name} has a {kind} without an alarm on {metric}: {id} of {template_name}."
                    )
    names = {name for template in templates.values() for name in _names(template)}
    for endpoint in stage.endpoints:
        for what in (
            *(f"{what}-{burn.name}-{w}" for what in ("availability", "latency") for burn in BURN_RATES for w in ("long", "short")),
            "too-many-degraded",
            "too-many-stale",
        ):  # fmt: skip
            if f"quicksilver-{stage.name}-{endpoint.name}-{what}" not in names:
                raise ConfigError(f"Endpoint {endpoint.name} of stage {stage.name} has no alarm {what}.")
        for counted in ENDPOINT:
            if (counted.value, "endpoint", endpoint.name) not in watched:
                raise ConfigError(
                    f"Endpoint {endpoint.name} of stage {stage.name} has no alarm on {counted.value}."
                )


def _required(resource: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if resource["Type"] == "AWS::Lambda::EventSourceMapping":
        yield "stream consumer", "FunctionName", CONSUMER
    if resource["Type"] in REQUIRED:
        kind, dimension, metrics = REQUIRED[resource["Type"]]
        for metric in metrics:
            yield kind, dimension, metric


def _watched(templates: Mapping[str, Template]) -> Iterator[tuple[str, str, Resource | str]]:
    """What alarms watch: a metric, one of its dimensions, and the resource or the text that is its value."""
    for template_name, template in templates.items():
        for metric in _metrics(template):
            for dimension in metric.get("Dimensions", ()):
                value = dimension["Value"]
                if isinstance(value, str):
                    yield metric["MetricName"], dimension["Name"], value
                for resource in _resources(value, template_name, templates):
                    yield metric["MetricName"], dimension["Name"], resource


def _alarms(template: Template) -> Iterator[Mapping[str, Any]]:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            yield resource["Properties"]


def _names(template: Template) -> Iterator[str]:
    for alarm in _alarms(template):
        yield alarm["AlarmName"]


def _metrics(template: Template) -> Iterator[Mapping[str, Any]]:
    for alarm in _alarms(template):
        if "MetricName" in alarm:
            yield alarm
        for query in alarm.get("Metrics", ()):
            if "MetricStat" in query:
                yield query["MetricStat"]["Metric"]


def _resources(value: Any, template_name: str, templates: Mapping[str, Template]) -> Iterator[Resource]:
    """The resource that a value refers to, in its own stack or in the one that exports it."""
    match value:
        case {"Ref": id}:
            yield template_name, id
        case {"Fn::GetAtt": [id, _]}:
            yield template_name, id
        case {"Fn::ImportValue": exported}:
            for owner, template in templates.items():
                for output in template.get("Outputs", {}).values():
                    if output.get("Export", {}).get("Name") == exported:
                        yield from _resources(output["Value"], owner, templates)
