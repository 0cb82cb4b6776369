"""Model packages and evidence, copied to the second region as they are written: with their locks, under the key there.

A package is named by its SHA-256 and verified wherever it is loaded, so a copy is as good as what it was copied from.
"""

from __future__ import annotations

from aws_cdk import Stack, aws_iam as iam, aws_kms as kms, aws_s3 as s3
from constructs import Construct

from stacks.constructs.artefact_bucket import EVIDENCE, PACKAGES
from stacks.constructs.compliance import acknowledge
from stacks.constructs.object_access import allow_objects, finding_resource
from stacks.constructs.service_role import ServiceRole

_MINUTES = 15
"""S3 Replication Time Control copies within 15 minutes, by its service level, and measures where it does not."""


class ArtefactReplication(Construct):
    """From ``source`` to the bucket named ``target``, in ``region``, whose key has ``alias``."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        source: s3.Bucket,
        key: kms.IKey,
        target: str,
        region: str,
        alias: str,
    ) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        bucket = s3.Bucket.from_bucket_name(self, "Target", target)
        role = ServiceRole(
            self,
            "Role",
            service="s3",
            description=f"Copies model packages and evidence to {region}",
        )
        for actions, resource in (
            (["s3:GetReplicationConfiguration", "s3:ListBucket"], source.bucket_arn),
            (["kms:Decrypt"], key.key_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        for prefix in (PACKAGES, EVIDENCE):
            allow_objects(
                role,
                actions=[
                    "s3:GetObjectVersionForReplication",
                    "s3:GetObjectVersionAcl",
                    "s3:GetObjectVersionTagging",
                    "s3:GetObjectRetention",
                    "s3:GetObjectLegalHold",
                ],
                bucket=source,
                prefix=prefix,
                reason="Whatever is written here is copied, each object under its own name.",
            )
            allow_objects(
                role,
                actions=["s3:ReplicateObject", "s3:ReplicateTags"],
                bucket=bucket,
                prefix=prefix,
                reason="Whatever is written there is copied, each object under its own name; nothing is deleted.",
            )
        self._let_encrypt(role, stack, region, alias)
        configuration = s3.CfnBucket.ReplicationConfigurationProperty(
            role=role.role_arn,
            rules=[
                self._rule(number, prefix, bucket, stack, region, alias)
                for number, prefix in enumerate((PACKAGES, EVIDENCE), 1)
            ],
        )
        made = source.node.default_child
        assert isinstance(made, s3.CfnBucket)  # noqa: S101 - for the type checker: a bucket's resource is one
        made.replication_configuration = configuration

    def _let_encrypt(self, role: iam.Role, stack: Stack, region: str, alias: str) -> None:
        """The key there is known by its alias alone: its id is made by the standby's own deployment."""
        keys = stack.format_arn(service="kms", region=region, resource="key", resource_name="*")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["kms:Encrypt", "kms:GenerateDataKey"],
                resources=[keys],
                conditions={"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}},
            )
        )
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::{finding_resource(stack.resolve(keys))}]",
            reason=f"Of all keys there, the condition leaves the one that has {alias}.",
        )

    def _rule(
        self, number: int, prefix: str, bucket: s3.IBucket, stack: Stack, region: str, alias: str
    ) -> s3.CfnBucket.ReplicationRuleProperty:
        of = s3.CfnBucket
        within = of.ReplicationTimeValueProperty(minutes=_MINUTES)
        return of.ReplicationRuleProperty(
            id=prefix.rstrip("/"),
            priority=number,
            status="Enabled",
            filter=of.ReplicationRuleFilterProperty(prefix=prefix),
            # A marker hides an object; nobody may leave one, and it must not spread.
            delete_marker_replication=of.DeleteMarkerReplicationProperty(status="Disabled"),
            source_selection_criteria=of.SourceSelectionCriteriaProperty(
                sse_kms_encrypted_objects=of.SseKmsEncryptedObjectsProperty(status="Enabled")
            ),
            destination=of.ReplicationDestinationProperty(
                bucket=bucket.bucket_arn,
                encryption_configuration=of.EncryptionConfigurationProperty(
                    replica_kms_key_id=stack.format_arn(service="kms", region=region, resource=alias)
                ),
                metrics=of.MetricsProperty(status="Enabled", event_threshold=within),
                replication_time=of.ReplicationTimeProperty(status="Enabled", time=within),
            ),
        )
