"""A table with a replica in the stage's second region, encrypted there by the key of the same alias.

Replication is asynchronous and the last writer of an item wins, so conditions hold within one region only: whatever is
decided by conditional writes, as the registry is, has its writers in one region at a time.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aws_cdk import RemovalPolicy, aws_dynamodb as dynamodb, aws_iam as iam
from constructs import Construct

from stacks.config import SecondRegion

Policy = Callable[[str], iam.PolicyDocument]
"""What a replica's resource policy says, by the region that it is in."""


class GlobalTable(Construct):
    """Made by the primary's stack, for both regions. Both sides know it by its name."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        regions: SecondRegion,
        key_arn: str,
        key_alias: str,
        key_schema: Sequence[tuple[str, str]],
        deletion_protection: bool,
        policy: Policy | None,
    ) -> None:
        super().__init__(scope, id)
        of = dynamodb.CfnGlobalTable

        def replica(region: str, key: str) -> dynamodb.CfnGlobalTable.ReplicaSpecificationProperty:
            return of.ReplicaSpecificationProperty(
                region=region,
                sse_specification=of.ReplicaSSESpecificationProperty(kms_master_key_id=key),
                point_in_time_recovery_specification=of.PointInTimeRecoverySpecificationProperty(
                    point_in_time_recovery_enabled=True
                ),
                deletion_protection_enabled=deletion_protection,
                resource_policy=of.ResourcePolicyProperty(policy_document=policy(region)) if policy else None,
            )

        table = of(
            self,
            "Table",
            table_name=name,
            billing_mode="PAY_PER_REQUEST",
            key_schema=[of.KeySchemaProperty(attribute_name=n, key_type=kind) for n, kind in key_schema],
            attribute_definitions=[
                of.AttributeDefinitionProperty(attribute_name=n, attribute_type="S") for n, _ in key_schema
            ],
            stream_specification=of.StreamSpecificationProperty(stream_view_type="NEW_AND_OLD_IMAGES"),
            sse_specification=of.SSESpecificationProperty(sse_enabled=True, sse_type="KMS"),
            replicas=[replica(regions.primary, key_arn), replica(regions.standby, key_alias)],
        )
        table.apply_removal_policy(RemovalPolicy.RETAIN)
