"""Each function may do what its code calls, on the resources it calls it on: nothing beyond, and nothing below."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from quicksilver.settings import Engine
from tests.infrastructure.conftest import ROOT, Resource, Synthesized
from tests.infrastructure.lasting import ACCEPT
from tests.infrastructure.permissions import (
    Needs,
    Permission,
    Templates,
    Unexplained,
    granted,
    roles_table,
    service_name,
)
from tests.infrastructure.reached import Program

FUNCTION, ROLE = "AWS::Lambda::Function", "AWS::IAM::Role"
ROLES = ROOT / "docs" / "roles.md"


@pytest.fixture(scope="session")
def program() -> Program:
    return Program()


def readable(permissions: set[Permission]) -> list[str]:
    return sorted(f"{action} on {plain(resource)}" for action, resource in permissions)


def plain(resource: str) -> str:
    """A resource by the construct's id alone."""
    return re.sub(r"[0-9A-F]{8}\b", "", resource)


def differences(synthesized: Synthesized, program: Program) -> dict[str, dict[str, list[str]]]:
    """By function, what its role allows beyond what it needs, and what it needs and is not allowed."""
    templates, found = Templates(synthesized), {}
    for function in synthesized.of_type(FUNCTION).values():
        needed = Needs(program, templates, function).permissions
        allowed = granted(templates, templates.text(function["Properties"]["Role"]))
        if needed != allowed:
            found[service_name(function)] = {
                "beyond": readable(allowed - needed),
                "below": readable(needed - allowed),
            }
    return found


def test_each_role_allows_what_its_function_calls_and_nothing_else(
    every_stage: Synthesized, program: Program
) -> None:
    assert differences(every_stage, program) == {}


def test_a_function_has_a_role_of_its_own(every_stage: Synthesized) -> None:
    roles = [
        json.dumps(function["Properties"]["Role"]) for function in every_stage.of_type(FUNCTION).values()
    ]
    assert len(set(roles)) == len(roles)


def test_the_roles_that_people_read_are_those_of_prod(
    synthesized: Callable[[str], Synthesized],
) -> None:
    table = roles_table(Templates(synthesized("prod")))
    start, _, _ = ROLES.read_text().partition("| function |")
    if os.environ.get(ACCEPT):
        ROLES.write_text(f"{start}{table}\n")
    assert ROLES.read_text() == f"{start}{table}\n", (
        f"docs/roles.md is of other roles; write it anew: {ACCEPT}=1 .venv/bin/python -m pytest {__file__} -k people"
    )


# -- that it can fail --


def changed(synthesized: Synthesized, change: Callable[[dict[str, Any]], None]) -> Synthesized:
    """The same stage with its control stack's template changed."""
    control = copy.deepcopy(dict(synthesized.control))
    change(control)
    return replace(synthesized, control=control)


def policy_of(template: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    (found,) = [
        item["Properties"]["PolicyDocument"]["Statement"]
        for name, item in template["Resources"].items()
        if item["Type"] == "AWS::IAM::Policy" and name.startswith(role)
    ]
    statements: list[dict[str, Any]] = found
    return statements


def test_a_verb_too_many_is_named(local: Synthesized, program: Program) -> None:
    def add(template: dict[str, Any]) -> None:
        statements = policy_of(template, "RollupHandlerRole")
        (reading,) = [item for item in statements if "dynamodb:Query" in item["Action"]]
        statements.append({**reading, "Action": "dynamodb:DeleteItem"})

    assert differences(changed(local, add), program) == {
        "rollup": {"beyond": ["dynamodb:DeleteItem on Rollup"], "below": []}
    }


def test_a_verb_that_is_missing_is_named(local: Synthesized, program: Program) -> None:
    def take(template: dict[str, Any]) -> None:
        (writing,) = [
            item for item in policy_of(template, "RolloutHandlerRole") if "dynamodb:PutItem" in item["Action"]
        ]
        writing["Action"] = "dynamodb:GetItem"

    assert differences(changed(local, take), program) == {
        "rollout": {"beyond": [], "below": ["dynamodb:PutItem on Announcements"]}
    }


def test_more_objects_than_a_function_reads_are_named(local: Synthesized, program: Program) -> None:
    def widen(template: dict[str, Any]) -> None:
        for statement in policy_of(template, "ShadowHandlerRole"):
            if statement["Action"] == "s3:GetObject":
                statement["Resource"]["Fn::Join"][1][-1] = "/*"

    assert differences(changed(local, widen), program) == {
        "shadow": {"beyond": ["s3:GetObject on Models/*"], "below": ["s3:GetObject on Models/packages/*"]}
    }


def test_a_function_that_nobody_has_named_after_its_folder_is_a_sentence(
    local: Synthesized, program: Program
) -> None:
    def forget(template: dict[str, Any]) -> None:
        for item in template["Resources"].values():
            if item["Type"] == FUNCTION:
                item["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] = "before-traffic-2"

    with pytest.raises(Unexplained, match=r"^The function before-traffic-2 has no lambdas/before_traffic_2/"):
        differences(changed(local, forget), program)


def test_what_is_reached_is_no_more_than_what_is_called(program: Program) -> None:
    def of(handler: str) -> set[str]:
        return program.reached(handler).methods_of_adapters()[
            "quicksilver.aws.dynamodb_registry.DynamoDBRegistryStore"
        ]

    assert "commit" in of("registry")
    assert of("shadow") == {"current_route", "model_version"}


# -- roles that AWS's own services take --

KEY = {"kms:Decrypt", "kms:GenerateDataKey"}
CATALOG = {"glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"}
SERVICES = {
    # Firehose reads the stream, and adds to the archive under two prefixes: it cannot read or delete an object.
    "ArchiveRole": KEY
    | {"kinesis:DescribeStream", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"}
    | {"s3:AbortMultipartUpload", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads", "s3:PutObject"}
    | {"logs:PutLogEvents"},
    # The machine of a retraining calls its functions and tells people. The verbs on logs are what Step Functions asks for.
    "RetrainingMachineRole": KEY
    | {"lambda:InvokeFunction", "sns:Publish"}
    | {f"logs:{verb}LogDelivery" for verb in ("Create", "Delete", "Get", "Update")}
    | {"logs:DescribeLogGroups", "logs:DescribeResourcePolicies"}
    | {"logs:ListLogDeliveries", "logs:PutResourcePolicy"},
    # EventBridge starts that machine, whose input is encrypted.
    "RetrainingStarterRole": KEY | {"states:StartExecution"},
}
MANAGED = {
    # AWS's narrowest policy for shifting aliases; the construct of CDK attaches it.
    "codedeploy.amazonaws.com": "AWSCodeDeployRoleForLambdaLimited",
    # API Gateway takes no other for the account's log role.
    "apigateway.amazonaws.com": "AmazonAPIGatewayPushToCloudWatchLogs",
}


def roles_of_services(synthesized: Synthesized) -> Iterator[tuple[str, Resource]]:
    for name, role in synthesized.of_type(ROLE).items():
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if statement["Principal"] != {"Service": "lambda.amazonaws.com"}:
            yield name, role


def test_roles_of_services_allow_what_is_said_here(every_stage: Synthesized) -> None:
    templates = Templates(every_stage)
    verbs = {
        name[:-8]: {action for action, _ in granted(templates, name)}
        for name, role in roles_of_services(every_stage)
        if "ManagedPolicyArns" not in role["Properties"]
    }
    catalog = set() if every_stage.stage.emulated else CATALOG
    expected = {**SERVICES, "ArchiveRole": SERVICES["ArchiveRole"] | catalog}
    assert {name: verbs.get(name) for name in expected} == expected
    strangers = set(verbs) - set(expected)
    assert not strangers, f"say in SERVICES what {sorted(strangers)} may do, and why"


def test_managed_policies_are_the_two_that_a_service_asks_for_by_name(every_stage: Synthesized) -> None:
    for name, role in roles_of_services(every_stage):
        properties = role["Properties"]
        if "ManagedPolicyArns" in properties:
            service = properties["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
            (arn,) = properties["ManagedPolicyArns"]
            assert Templates(every_stage).text(arn).endswith(f"/{MANAGED.get(service)}"), name


def test_every_role_is_a_functions_or_a_services(every_stage: Synthesized) -> None:
    functions = {
        function["Properties"]["Role"]["Fn::GetAtt"][0] for function in every_stage.of_type(FUNCTION).values()
    }
    services = {name for name, _ in roles_of_services(every_stage)}
    assert functions | services == set(every_stage.of_type(ROLE))


def test_wildcards_end_a_prefix_of_objects_and_stand_nowhere_else(every_stage: Synthesized) -> None:
    templates = Templates(every_stage)
    wide = {
        plain(resource)
        for name in every_stage.of_type(ROLE)
        if "ManagedPolicyArns" not in every_stage.resources[name]["Properties"]
        for action, resource in granted(templates, name)
        if "*" in resource and not action.startswith(("s3:", "logs:"))
    }
    registry = f"RegistryApiRest/{every_stage.stage.name}/POST/v1/registry"
    evidence = {f"{registry}/{endpoint.name}/models/*/evidence" for endpoint in every_stage.stage.endpoints}
    athena = every_stage.stage.analysis_engine is Engine.ATHENA
    # Which function version a hook is asked about, is not known before.
    versions = set() if every_stage.stage.emulated else {"ScoreCardFraud:*", "ScoreCreditLine:*"}
    tables = {f"table/quicksilver_{every_stage.stage.name}/*"} if athena else set()
    assert wide == evidence | versions | tables
    objects = {
        resource
        for name in every_stage.of_type(ROLE)
        if "ManagedPolicyArns" not in every_stage.resources[name]["Properties"]
        for action, resource in granted(templates, name)
        if action.startswith("s3:") and "*" in resource
    }
    assert all(re.fullmatch(r"\w+[/?][a-z/-]+/\*", resource) for resource in objects), objects


def test_only_an_endpoint_with_idempotency_keys_writes_a_table_and_only_theirs(
    every_stage: Synthesized,
) -> None:
    templates = Templates(every_stage)
    writing = {
        (service_name(function), action, resource[:-8])
        for function in every_stage.of_type(FUNCTION).values()
        if service_name(function).startswith("score-")
        for action, resource in granted(templates, templates.text(function["Properties"]["Role"]))
        if action.startswith("dynamodb:") and "Get" not in action
    }
    assert writing == {
        (f"score-{endpoint.name}", action, "Idempotency")
        for endpoint in every_stage.stage.endpoints
        if endpoint.idempotency_hours
        for action in ("dynamodb:PutItem", "dynamodb:DeleteItem")
    }
