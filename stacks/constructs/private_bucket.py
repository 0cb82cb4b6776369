"""A bucket nobody outside may see: encrypted with our key, TLS only, every access logged."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, aws_kms as kms, aws_s3 as s3
from constructs import Construct

from stacks.constructs.compliance import acknowledge


class AccessLogBucket(s3.Bucket):
    """Where the other buckets' server access logs go. They expire by themselves."""

    def __init__(self, scope: Construct, id: str, *, removal_policy: RemovalPolicy) -> None:
        super().__init__(
            scope,
            id,
            # Server access logging does not deliver to a bucket whose default encryption is SSE-KMS
            # (Amazon S3 User Guide, "Enabling Amazon S3 server access logging").
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(400))],
            removal_policy=removal_policy,
        )
        for finding, reason in {
            "AwsSolutions-S1": "This bucket receives the access logs of the others; logging its own accesses into itself would loop.",
            "PCI.DSS.321-S3DefaultEncryptionKMS": "S3 delivers access logs to no bucket whose default encryption is by a KMS key.",
            "PCI.DSS.321-S3BucketVersioningEnabled": "S3 alone writes here, each log once under a name of its own: there is no "
            "version to go back to.",
            "PCI.DSS.321-S3BucketReplicationEnabled": "Access logs are of one region's buckets, and say nothing that is needed to go "
            "on in another.",
        }.items():
            acknowledge(self, finding, reason=reason)


class PrivateBucket(s3.Bucket):
    """A versioned bucket: what is overwritten or deleted by mistake can be had back for 30 days, and where there is a lock for as
    long as that says: S3 expires no version before."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        key: kms.IKey,
        access_logs: AccessLogBucket,
        removal_policy: RemovalPolicy,
        kept_days: int | None = 30,
        lock: s3.ObjectLockRetention | None = None,
        name: str | None = None,
    ) -> None:
        """``kept_days`` is how long a version is kept that is no more the current one; None for ever."""
        kept = None if kept_days is None else Duration.days(kept_days)
        super().__init__(
            scope,
            id,
            bucket_name=name,
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix=f"{id.lower()}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                    noncurrent_version_expiration=kept,
                )
            ],
            object_lock_enabled=True if lock else None,
            object_lock_default_retention=lock,
            removal_policy=removal_policy,
        )
        acknowledge(
            self,
            "PCI.DSS.321-S3BucketReplicationEnabled",
            reason="Whether a stage has a second region is its own choice; S3 keeps each object in three zones of the first.",
        )


def governance(days: int) -> s3.ObjectLockRetention | None:
    """A lock of so many days on every version, none for 0.

    Governance and not compliance: what is locked are people's data, and a lawful demand to erase them must be possible to meet.
    It takes two deliberate steps, a reviewed change of the bucket's policy, which denies the bypass, and the bypass.
    """
    return s3.ObjectLockRetention.governance(Duration.days(days)) if days else None
