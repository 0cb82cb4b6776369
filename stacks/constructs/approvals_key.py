"""What makes an approval: a pair of keys whose private half never leaves KMS.

Its public half, which anyone who may read it can verify with, must outlive every approval: such keys do not rotate. The
registry function alone signs, for an approval is a person's word checked by the registry.
"""

from __future__ import annotations

from aws_cdk import RemovalPolicy, Stack, aws_iam as iam, aws_kms as kms

from stacks.config import Side, Stage
from stacks.constructs.registry_alone import alone_signs


def approvals_key(stack: Stack, *, stage: Stage, removal_policy: RemovalPolicy) -> kms.IKey | None:
    """The stage's key, or in a standby the primary's in its region: none while the stage does not say it."""
    if stage.side is Side.STANDBY:
        return _replica(stack, stage, removal_policy)
    key = kms.Key(
        stack,
        "ApprovalsKey",
        alias=_alias(stage),
        description=f"Signs the approvals of model versions ({stage.name})",
        key_spec=kms.KeySpec.ECC_NIST_P256,
        key_usage=kms.KeyUsage.SIGN_VERIFY,
        # What has been approved must be checked in both regions by one key.
        multi_region=True if stage.second_region else None,
        removal_policy=removal_policy,
    )
    key.add_to_resource_policy(alone_signs(stack, stage))
    return key


def _replica(stack: Stack, stage: Stage, removal_policy: RemovalPolicy) -> kms.IKey | None:
    regions = stage.second_region
    if regions is None or regions.approvals_key is None:
        return None
    account = iam.PolicyStatement(principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"])
    replica = kms.CfnReplicaKey(
        stack,
        "ApprovalsKeyReplica",
        primary_key_arn=regions.approvals_key,
        key_policy=iam.PolicyDocument(statements=[account, alone_signs(stack, stage)]),
        description=f"Signs the approvals of model versions ({stage.name}, standby)",
    )
    replica.apply_removal_policy(removal_policy)
    key = kms.Key.from_key_arn(stack, "ApprovalsKey", replica.attr_arn)
    kms.Alias(
        stack,
        "ApprovalsKeyAlias",
        alias_name=_alias(stage),
        target_key=key,
        removal_policy=removal_policy,
    )
    return key


def _alias(stage: Stage) -> str:
    return f"alias/quicksilver/{stage.name}/approvals"
