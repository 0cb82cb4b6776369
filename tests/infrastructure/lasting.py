"""What of a stage must never change silently: the resources that hold data, by logical id, and the names others know.

CloudFormation replaces a resource whose logical id, type or key has changed: the data stays behind in the old one, or goes with
it. A function, a path or an output that has another name is gone for whoever calls it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.infrastructure.conftest import Synthesized

SNAPSHOTS = Path(__file__).resolve().parent / "snapshots"
ACCEPT = "QUICKSILVER_ACCEPT_SNAPSHOTS"
HOW = f"{ACCEPT}=1 .venv/bin/python -m pytest tests/infrastructure/test_snapshots.py"

DATA = (
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::S3::Bucket",
)
_ABSENT = "nothing"


def lasting(stage: Synthesized) -> dict[str, Any]:
    """A stage's snapshot, as plain JSON."""
    names = [path.name.removesuffix(".template.json") for path in stage.template_files]
    templates = {
        name: json.loads(path.read_text()) for name, path in zip(names, stage.template_files, strict=True)
    }
    resources = {
        id: resource for template in templates.values() for id, resource in template["Resources"].items()
    }
    return {
        "data": {id: _kept(item) for id, item in sorted(resources.items()) if item["Type"] in DATA},
        "functions": sorted(
            item["Properties"]["FunctionName"]
            for item in resources.values()
            if item["Type"] == "AWS::Lambda::Function" and "FunctionName" in item["Properties"]
        ),
        "apis": {
            id: sorted(_methods(id, resources))
            for id, item in sorted(resources.items())
            if item["Type"] == "AWS::ApiGateway::RestApi"
        },
        "stacks": {name: _outputs(template) for name, template in templates.items()},
    }


def _kept(resource: Mapping[str, Any]) -> dict[str, Any]:
    properties = resource["Properties"]
    kept = {
        "type": resource["Type"],
        "deletion": resource.get("DeletionPolicy", "Delete"),
        "replacement": resource.get("UpdateReplacePolicy", "Delete"),
        "name": _name(properties),
        "keys": " ".join(
            f"{key['AttributeName']}:{key['KeyType']}" for key in properties.get("KeySchema", ())
        ),
        "key": _key(properties),
        "kind": properties.get("KeySpec"),
        "expires": properties.get("TimeToLiveSpecification", {}).get("AttributeName"),
        "restorable": properties.get("PointInTimeRecoverySpecification", {}).get(
            "PointInTimeRecoveryEnabled"
        ),
        "lock": properties.get("ObjectLockEnabled"),
    }
    return {fact: value for fact, value in kept.items() if value}


def _name(properties: Mapping[str, Any]) -> str | None:
    """The name it is given, where CloudFormation does not make one up."""
    for field in ("AliasName", "BucketName", "Name", "TableName"):
        if isinstance(properties.get(field), str):
            return str(properties[field])
    glue = properties.get("TableInput") or properties.get("DatabaseInput") or {}
    return glue.get("Name")


def _key(properties: Mapping[str, Any]) -> str | None:
    """The logical id of the key that encrypts it, or which kind of encryption it has without one."""
    rules = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [{}])
    bucket = rules[0].get("ServerSideEncryptionByDefault", {})
    key = (
        bucket.get("KMSMasterKeyID")
        or properties.get("SSESpecification", {}).get("KMSMasterKeyId")
        or properties.get("StreamEncryption", {}).get("KeyId")
        or properties.get("TargetKeyId")
    )
    if isinstance(key, Mapping):
        return str(key["Fn::GetAtt"][0] if "Fn::GetAtt" in key else key)
    return key or bucket.get("SSEAlgorithm")


def _methods(api: str, resources: Mapping[str, Any]) -> Iterator[str]:
    for item in resources.values():
        if item["Type"] == "AWS::ApiGateway::Method" and item["Properties"]["RestApiId"] == {"Ref": api}:
            path = _path(item["Properties"]["ResourceId"], resources)
            yield f"{item['Properties']['HttpMethod']} {path or '/'}"


def _path(reference: Mapping[str, Any], resources: Mapping[str, Any]) -> str:
    if "Ref" not in reference:  # the root of the API
        return ""
    properties = resources[reference["Ref"]]["Properties"]
    return f"{_path(properties['ParentId'], resources)}/{properties['PathPart']}"


def _outputs(template: Mapping[str, Any]) -> list[str]:
    """What people and the command line read; what CDK exports from one of our stacks to another is its own affair."""
    return sorted(name for name in template.get("Outputs", {}) if not name.startswith("ExportsOutput"))


def changes(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """What has changed between two snapshots, a few words each."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from changes(before.get(name, _ABSENT), after.get(name, _ABSENT), f"{where} {name}".strip())
    elif isinstance(before, list) and isinstance(after, list):
        yield from (f"{where} no longer has {item}" for item in before if item not in after)
        yield from (f"{where} has {item}, which is new" for item in after if item not in before)
    elif before != after:
        yield f"{where} was {_said(before)} and is {_said(after)}"


def _said(value: Any) -> str:
    return value.get("type", "something") if isinstance(value, Mapping) else str(value)


def sentence(stage: str, found: list[str]) -> str:
    return (
        f"The stage {stage} changes what must never change silently: {'; '.join(found)}. "
        f"If that is meant, accept it and commit the snapshot: {HOW}"
    )
