"""Log groups under our key, which forget after the stage's retention and mask what should never have been logged.

No line of ours holds a payload or a secret. If one does all the same, CloudWatch Logs shows it masked to everyone who has no
``logs:Unmask``, which no role of ours has, and tells of it in the stage's group of findings.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/mask-sensitive-log-data.html
"""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, aws_cloudwatch as cloudwatch, aws_kms as kms, aws_logs as logs
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.alarm import Alarm, Severity

MASKED = (
    "CREDITCARDNUMBER",
    "CREDITCARDSECURITYCODE",
    "EMAILADDRESS",
    "AWSSECRETKEY",
    "OPENSSHPRIVATEKEY",
    "PGPPRIVATEKEY",
    "PKCSPRIVATEKEY",
    "PUTTYPRIVATEKEY",
)
"""What a request might hold of a person or a card, and keys. Not addresses of the network, which firewalls log to be read."""


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
            data_protection_policy=None if stage.emulated else _masking(scope, f"{id}Findings", stage),
            removal_policy=RemovalPolicy.DESTROY if stage.emulated else kept,
        )


class FindingsLogGroup(logs.LogGroup):
    """Where CloudWatch Logs tells what it has masked: the kind, the group and the place of it, and not the thing itself.

    The log groups of every stack find it by its name, and so it goes again with a first deployment that failed.
    """

    def __init__(self, scope: Construct, id: str, *, stage: Stage, key: kms.IKey) -> None:
        super().__init__(
            scope,
            id,
            log_group_name=_findings_name(stage),
            encryption_key=key,
            retention=logs.RetentionDays[stage.log_retention.name],
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        Alarm(
            self,
            "Masked",
            stage=stage,
            subject="logs",
            what="masked",
            severity=Severity.TICKET,
            description="logs: somebody has logged what looks like a card, an e-mail address or a key",
            metric=cloudwatch.Metric(
                namespace="AWS/Logs",
                metric_name="IncomingLogEvents",
                dimensions_map={"LogGroupName": _findings_name(stage)},
                statistic=cloudwatch.Stats.SUM,
                period=Duration.minutes(5),
            ),
            threshold=1,
        )


def _findings_name(stage: Stage) -> str:
    return f"quicksilver-{stage.name}-findings"


def _masking(scope: Construct, id: str, stage: Stage) -> logs.DataProtectionPolicy:
    return logs.DataProtectionPolicy(
        name=f"quicksilver-{stage.name}",
        description="Masks cards, addresses of people and keys",
        identifiers=[getattr(logs.DataIdentifier, name) for name in MASKED],
        log_group_audit_destination=logs.LogGroup.from_log_group_name(scope, id, _findings_name(stage)),
    )
