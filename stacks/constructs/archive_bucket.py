"""The archive's bucket, whose records nobody takes back, and beside it the one for what queries leave.

Object Lock holds every version for the stage's days, whoever asks; the policy keeps delete markers away from what was recorded,
which would hide it from every query and are no concern of Object Lock. Undelivered batches, which come and go, may be deleted:
their versions stay as long as the others.
"""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, aws_iam as iam, aws_kms as kms
from constructs import Construct

from quicksilver.archive import CONTRACTS_PREFIX, OUTCOMES_PREFIX, PREDICTIONS_PREFIX
from stacks.config import Stage
from stacks.constructs.private_bucket import AccessLogBucket, PrivateBucket, governance

RECORDED = (PREDICTIONS_PREFIX, OUTCOMES_PREFIX, CONTRACTS_PREFIX)
RESULTS_KEPT_DAYS = 7


class ArchiveBucket(PrivateBucket):
    """What was decided can be looked up, scored again and held against its outcome, for as long as the stage says."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        key: kms.IKey,
        access_logs: AccessLogBucket,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(
            scope,
            id,
            key=key,
            access_logs=access_logs,
            removal_policy=removal_policy,
            lock=governance(stage.archive_lock_days),
        )
        self._deny("DenyDelete", "s3:DeleteObject*", RECORDED)
        self._deny("DenyUnlock", "s3:BypassGovernanceRetention", ("",))

    def _deny(self, sid: str, action: str, prefixes: tuple[str, ...]) -> None:
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=[action],
                resources=[self.arn_for_objects(f"{prefix}*") for prefix in prefixes],
            )
        )


class QueryResultsBucket(PrivateBucket):
    """Athena's answers: copies, each under an id of its own, that nobody needs for long and no lock should keep."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        key: kms.IKey,
        access_logs: AccessLogBucket,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(
            scope, id, key=key, access_logs=access_logs, removal_policy=removal_policy, kept_days=1
        )
        self.add_lifecycle_rule(expiration=Duration.days(RESULTS_KEPT_DAYS))
