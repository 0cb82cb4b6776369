"""What the stacks of an app create, read before they are synthesized: as much of each resource as says what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aws_cdk import (
    CfnResource,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_kinesis as kinesis,
    aws_lambda as lambda_,
    aws_logs as logs,
)
from constructs import IConstruct

from quicksilver.cost.assembly import Assembly, Resource


def _of_alarm(alarm: cloudwatch.CfnAlarm) -> Mapping[str, Any]:
    listed = _resolved(alarm, alarm.metrics)
    return {} if listed is None else {"Metrics": [_capitals(metric) for metric in listed]}


def _of_stream(stream: kinesis.CfnStream) -> Mapping[str, Any]:
    mode = _resolved(stream, stream.stream_mode_details)
    return {
        "RetentionPeriodHours": stream.retention_period_hours,
        "ShardCount": stream.shard_count,
        **({"StreamModeDetails": _capitals(mode)} if mode else {}),
    }


def _of_function(function: lambda_.CfnFunction) -> Mapping[str, Any]:
    snapshots = _resolved(function, function.snap_start)
    # Its variables are known when the app is synthesized, and not before.
    storage = _resolved(function, function.ephemeral_storage)
    return {
        "FunctionName": function.function_name,
        "MemorySize": function.memory_size,
        "Architectures": list(function.architectures or ["x86_64"]),
        **({"SnapStart": _capitals(snapshots)} if snapshots else {}),
        **({"EphemeralStorage": _capitals(storage)} if storage else {}),
    }


def _of_group(group: logs.CfnLogGroup) -> Mapping[str, Any]:
    policy = group.data_protection_policy
    return {
        "RetentionInDays": group.retention_in_days,
        **({"DataProtectionPolicy": True} if policy is not None else {}),
    }


def _rules(acl: Any) -> Mapping[str, Any]:
    return {"Rules": _resolved(acl, acl.rules) or []}


def _health_check(check: Any) -> Mapping[str, Any]:
    return {"HealthCheckConfig": _capitals(_resolved(check, check.health_check_config))}


_READ: Mapping[str, Callable[[Any], Mapping[str, Any]]] = {
    "AWS::CloudWatch::Alarm": _of_alarm,
    "AWS::Kinesis::Stream": _of_stream,
    "AWS::Lambda::Function": _of_function,
    "AWS::Logs::LogGroup": _of_group,
    "AWS::Route53::HealthCheck": _health_check,
    "AWS::WAFv2::WebACL": _rules,
}


def inventory(root: IConstruct, stage: str) -> Assembly:
    """Every resource below ``root``, with those properties that its price depends on while it is not used."""
    resources = []
    for node in root.node.find_all():
        if CfnResource.is_cfn_resource(node):
            kind = node.cfn_resource_type  # type: ignore[attr-defined]
            read = _READ.get(kind)
            resources.append(Resource(node.node.path, kind, read(node) if read else {}))
    return Assembly(stage, resources)


def _resolved(resource: CfnResource, value: Any) -> Any:
    return None if value is None else Stack.of(resource).resolve(value)


def _capitals(value: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of an L1 resource begin small here, and with a capital in the template."""
    return {f"{name[0].upper()}{name[1:]}": item for name, item in value.items()}
