"""Alarms on what every endpoint shares: the stream, the tables, the account's concurrency. What is refused there is late, or lost."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, aws_cloudwatch as cloudwatch
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.alarm import Alarm, Severity
from stacks.data_stack import DataStack

NEAR_LIMIT = 0.8


class DelayAndLoss(Construct):
    """The alarms of one stage's stores, and of what Lambda has left for its functions."""

    def __init__(self, scope: Construct, id: str, *, stage: Stage, data: DataStack) -> None:
        super().__init__(scope, id)
        self._stage = stage
        stream = {"StreamName": data.predictions.stream_name}
        self._counted(
            "writes-throttled",
            "AWS/Kinesis",
            stream,
            {"refused": "WriteProvisionedThroughputExceeded"},
            "stream: Kinesis takes no more prediction records for now; they are put again, or kept in S3",
            runbook="stream-writes-throttled",
        )
        self._counted(
            "reads-throttled",
            "AWS/Kinesis",
            stream,
            {"refused": "ReadProvisionedThroughputExceeded"},
            "stream: its consumers read too often, and fall behind",
            minutes=15,
            runbook="stream-reads-throttled",
        )
        for name, table in data.tables.items():
            self._counted(
                f"{name}-throttled",
                "AWS/DynamoDB",
                {"TableName": table.table_name},
                {"read": "ReadThrottleEvents", "written": "WriteThrottleEvents"},
                f"{name}: DynamoDB throttles its readers or writers",
                subject="tables",
                runbook="table-throttled",
            )
        self._near_limit()
        for endpoint in stage.endpoints:
            if endpoint.provisioned_concurrency is None:
                continue
            self._counted(
                "spillover",
                "AWS/Lambda",
                {"FunctionName": stage.function_name(endpoint.service)},
                {"spilled": "ProvisionedConcurrencySpilloverInvocations"},
                f"{endpoint.name}: for a quarter of an hour, requests have found no environment that was kept ready",
                subject=endpoint.name,
                minutes=15,
            )

    def _counted(
        self,
        what: str,
        namespace: str,
        dimensions: Mapping[str, str],
        metrics: Mapping[str, str],
        meaning: str,
        *,
        subject: str = "stream",
        minutes: int = 1,
        runbook: str | None = None,
    ) -> None:
        """Ring when any of the metrics was counted in each of the last minutes."""
        minute = Duration.minutes(1)
        counts: dict[str, cloudwatch.IMetric] = {
            id: cloudwatch.Metric(
                namespace=namespace,
                metric_name=name,
                dimensions_map=dimensions,
                statistic=cloudwatch.Stats.SUM,
                period=minute,
            )
            for id, name in metrics.items()
        }
        Alarm(
            self,
            f"{subject}-{what}",
            stage=self._stage,
            subject=subject,
            what=what,
            severity=Severity.TICKET,
            description=meaning,
            metric=next(iter(counts.values()))
            if len(counts) == 1
            else cloudwatch.MathExpression(
                expression=" + ".join(f"FILL({id}, 0)" for id in counts),
                using_metrics=counts,
                period=minute,
            ),
            threshold=1,
            periods=minutes,
            runbook=runbook,
        )

    def _near_limit(self) -> None:
        limit = self._stage.account_concurrency
        Alarm(
            self,
            "Concurrency",
            stage=self._stage,
            subject="account",
            what="concurrency-near-its-limit",
            severity=Severity.PAGE,
            description=f"account: {NEAR_LIMIT:.0%} of the {limit} executions that Lambda allows at once are claimed",
            metric=cloudwatch.Metric(
                namespace="AWS/Lambda",
                metric_name="ClaimedAccountConcurrency",
                statistic=cloudwatch.Stats.MAXIMUM,
                period=Duration.minutes(1),
            ),
            threshold=round(NEAR_LIMIT * limit),
            periods=3,
        )
