"""The bucket of model packages and evidence: what lies there is written once and never taken back.

Two walls, since each has a gap that the other closes. The bucket's policy binds everyone, the account's root
included, until somebody changes the policy: nothing under the prefixes is deleted, and nothing is put there
without If-None-Match, so that a name keeps its bytes. It also keeps delete markers away, which would hide an
object, free its name, and are no concern of Object Lock. Object Lock in turn outlives the policy: whoever
changes that still finds every version locked for the stage's days.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import RemovalPolicy, aws_iam as iam, aws_kms as kms
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.private_bucket import AccessLogBucket, PrivateBucket, governance

PACKAGES = "packages/"
EVIDENCE = "evidence/"


class ArtefactBucket(PrivateBucket):
    """Any past decision can be scored again, so no byte of a model is ever dropped."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        key: kms.IKey,
        access_logs: AccessLogBucket,
        removal_policy: RemovalPolicy,
        name: str | None = None,
    ) -> None:
        super().__init__(
            scope,
            id,
            name=name,
            key=key,
            access_logs=access_logs,
            removal_policy=removal_policy,
            kept_days=None,
            lock=governance(stage.artefact_lock_days),
        )
        self._deny("DenyDelete", ["s3:DeleteObject*"])
        # No exception for multipart uploads, whose parts carry no such header: a file of a package fits
        # into one put, and so there is one way to write.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        self._deny("DenyOverwrite", ["s3:PutObject"], {"Null": {"s3:if-none-match": "true"}})
        self._deny("DenyUnlock", ["s3:BypassGovernanceRetention"])

    def _deny(
        self, sid: str, actions: Sequence[str], conditions: dict[str, dict[str, str]] | None = None
    ) -> None:
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=list(actions),
                resources=[self.arn_for_objects(f"{prefix}*") for prefix in (PACKAGES, EVIDENCE)],
                conditions=conditions,
            )
        )
