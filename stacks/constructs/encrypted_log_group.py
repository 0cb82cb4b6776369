"""A log group under our key, which forgets after the stage's retention."""

from __future__ import annotations

from aws_cdk import RemovalPolicy, aws_kms as kms, aws_logs as logs
from constructs import Construct

from stacks.config import Stage


class EncryptedLogGroup(logs.LogGroup):
    """Outlives its stack outside an emulated stage: the logs of a removed function are still evidence.

    The name is generated and begins with the stack's, which is what the key's policy lets in. Where AWS wants a ``name`` of its
    own kind, a group that was only just made goes again with the deployment that failed, so that the next can make it.
    """

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, key: kms.IKey, name: str | None = None
    ) -> None:
        kept = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if name else RemovalPolicy.RETAIN
        super().__init__(
            scope,
            id,
            log_group_name=name,
            encryption_key=key,
            retention=logs.RetentionDays[stage.log_retention.name],
            removal_policy=RemovalPolicy.DESTROY if stage.emulated else kept,
        )
