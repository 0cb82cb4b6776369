"""A queue for what could not be done, with the alarms that say so.

Nothing consumes it: what lies in it waits for a person, and is gone after 14 days, SQS's most.
"""

from __future__ import annotations

from aws_cdk import Duration, aws_cloudwatch as cloudwatch, aws_sqs as sqs
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.alarm import Alarm, Severity
from stacks.constructs.compliance import acknowledge

KEPT_DAYS = 14
EXPIRING_DAYS = 10
"""When somebody is reminded: four days, a long weekend, are left."""


class DeadLetters(sqs.Queue):
    """``meaning`` says of the ``subject`` what it is that lies here. Its alarms are left out of an emulated stage."""

    def __init__(self, scope: Construct, id: str, *, stage: Stage, subject: str, meaning: str) -> None:
        super().__init__(
            scope,
            id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(KEPT_DAYS),
        )
        for finding in ("AwsSolutions-SQS3", "Serverless-SQSRedrivePolicy"):
            acknowledge(
                self,
                finding,
                reason="It is where what failed goes, and nothing consumes it that could fail again.",
            )
        if stage.emulated:
            return
        minute, most = Duration.minutes(1), cloudwatch.Stats.MAXIMUM
        Alarm(
            self,
            "Alarm",
            stage=stage,
            subject=subject,
            what="dead-letters",
            severity=Severity.TICKET,
            description=f"{subject}: {meaning}",
            metric=self.metric_approximate_number_of_messages_visible(period=minute, statistic=most),
            threshold=1,
        )
        Alarm(
            self,
            "Expiring",
            stage=stage,
            subject=subject,
            what="dead-letters-expiring",
            severity=Severity.TICKET,
            runbook="dead-letters",
            description=f"{subject}: nobody has seen to a dead letter for {EXPIRING_DAYS} days; it is deleted after {KEPT_DAYS}",
            metric=self.metric_approximate_age_of_oldest_message(period=minute, statistic=most),
            threshold=Duration.days(EXPIRING_DAYS).to_seconds(),
        )
