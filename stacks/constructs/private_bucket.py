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
        acknowledge(
            self,
            "AwsSolutions-S1",
            reason="This bucket receives the access logs of the others; logging its own accesses into itself would loop.",
        )


class PrivateBucket(s3.Bucket):
    """A versioned bucket: what is overwritten or deleted by mistake can be had back for 30 days."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        key: kms.IKey,
        access_logs: AccessLogBucket,
        removal_policy: RemovalPolicy,
        keeps_all_versions: bool = False,
        lock: s3.ObjectLockRetention | None = None,
        name: str | None = None,
    ) -> None:
        kept = None if keeps_all_versions else Duration.days(30)
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
