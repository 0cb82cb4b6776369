"""The alarm that rings when what should be counted is not: nobody does the work."""

from __future__ import annotations

from aws_cdk import Duration, aws_cloudwatch as cloudwatch
from constructs import Construct

from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import Stage
from stacks.constructs.alarm import Alarm, Severity, When


class Silence(Alarm):
    """``metric`` of the service ``subject`` was not counted in any of the last ``periods`` of a ``period`` each."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        subject: str,
        what: str,
        severity: Severity,
        description: str,
        metric: Metric,
        period: Duration,
        periods: int = 1,
    ) -> None:
        super().__init__(
            scope,
            id,
            stage=stage,
            subject=subject,
            what=what,
            severity=severity,
            description=description,
            metric=cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name=metric,
                dimensions_map={"service": subject},
                statistic=cloudwatch.Stats.SUM,
                period=period,
            ),
            threshold=1,
            periods=periods,
            when=When.BELOW,
            # A function that does not run counts nothing, and that is what this is about.
            silence_rings=True,
        )
