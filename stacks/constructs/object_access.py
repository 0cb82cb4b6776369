"""What a role may do with the objects under one prefix of a bucket.

S3 names objects by prefix and wildcard only, so cdk-nag questions each such grant; the answer is given here,
with the grant, and names exactly that prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import Stack, aws_iam as iam, aws_s3 as s3

from stacks.constructs.compliance import acknowledge


def allow_objects(
    role: iam.Role, *, actions: Sequence[str], bucket: s3.IBucket, prefix: str = "", reason: str
) -> None:
    """Grant ``actions`` on every object of ``bucket`` under ``prefix``; ``reason`` says why on all of them."""
    arn = bucket.bucket_arn
    here, there = Stack.of(role), Stack.of(bucket)
    if there is not here:
        # Exported now and not at synthesis, so that the finding's id, which holds the export's name, is known.
        arn = there.export_value(arn)
    objects = f"{arn}/{prefix}*"
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[objects]))
    acknowledge(
        role, f"AwsSolutions-IAM5[Resource::{finding_resource(here.resolve(objects))}]", reason=reason
    )


def allow_listing(
    role: iam.Role, *, bucket: s3.IBucket, prefixes: Sequence[str], tells_absence: bool = False
) -> None:
    """Let a role list what is under ``prefixes``.

    With ``tells_absence``, S3 also tells it an absent object from one that it may not read. A request for an object has no
    prefix, so the condition has to hold without one: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn],
            conditions={
                "StringLikeIfExists" if tells_absence else "StringLike": {
                    "s3:prefix": [f"{prefix}*" for prefix in prefixes]
                }
            },
        )
    )


def finding_resource(value: Any) -> str:
    """A resolved ARN as cdk-nag writes it in a finding: the parts of a join in a row, an import by its export's name."""
    match value:
        case {"Fn::Join": ["", [*parts]]}:
            return "".join(finding_resource(part) for part in parts)
        case {"Fn::ImportValue": name}:
            return str(name)
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [logical_id, attribute]}:
            return f"<{logical_id}.{attribute}>"
        case _:
            return str(value)
