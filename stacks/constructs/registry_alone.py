"""What only the registry function may do, by the policies of the resources themselves: a principal that may do everything, as
administrators do, is held back too. Its role is told by name, since it is in a stack that needs the data stack.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack, aws_iam as iam

from stacks.config import Stage

_WRITES = (
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
)
_REPLICATES = "aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication"
"""Denied, replication would stop: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html"""


def alone_signs(stack: Stack, stage: Stage) -> iam.PolicyStatement:
    """For a key: nobody else signs with it."""
    return _deny("TheRegistryAloneSigns", ["kms:Sign"], _role(stack, stage.registry_role_name(stack.region)))


def alone_writes(stack: Stack, stage: Stage) -> iam.PolicyDocument:
    """For a table: nobody else writes to it. A change made by hand would be in no history."""
    role = _role(stack, stage.registry_role_name(stack.region))
    return iam.PolicyDocument(statements=[_deny("TheRegistryAloneWrites", _WRITES, role)])


def alone_writes_in(stack: Stack, stage: Stage, region: str) -> iam.PolicyDocument:
    """For a replica in a region: only the registry function there writes to it, and what replicates.

    Where the stage has failed over, the primary's loses it: the two would overwrite each other.
    """
    regions, roles = stage.second_region, [_role(stack, _REPLICATES)]
    if regions is not None and not (regions.failed_over and region == regions.primary):
        roles.append(_role(stack, stage.registry_role_name(region)))
    return iam.PolicyDocument(statements=[_deny("TheRegistryAloneWrites", _WRITES, roles)])


def _role(stack: Stack, name: str) -> str:
    return stack.format_arn(service="iam", region="", resource="role", resource_name=name)


def _deny(sid: str, actions: Sequence[str], but: str | list[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid,
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=list(actions),
        resources=["*"],
        conditions={"ArnNotEquals": {"aws:PrincipalArn": but}},
    )
