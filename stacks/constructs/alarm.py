"""An alarm that rings at its threshold, and not where nothing is measured."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct


class Alarm(cloudwatch.Alarm):
    """Rings when ``metric`` is at ``threshold`` or above it in ``periods`` of its periods in a row.

    No traffic is no evidence of anything, and most of what is counted is counted only when it happens.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        description: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        periods: int = 1,
    ) -> None:
        super().__init__(
            scope,
            id,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
