"""Alarms of one endpoint for what costs no answer and so would go unseen: records on hold, a route that is not served."""

from __future__ import annotations

from aws_cdk import Duration, aws_cloudwatch as cloudwatch
from constructs import Construct

from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import Endpoint

_ALARMS = {
    Metric.PREDICTIONS_UNDELIVERED: "the stream refuses prediction records; they are kept in S3 and put back every minute",
    Metric.PREDICTIONS_PENDING: "stream and S3 both refuse prediction records; they are in memory only",
    Metric.PREDICTIONS_LOST: "prediction records are lost: an environment ended while stream and S3 refused them",
    Metric.ROUTE_REFRESH_FAILED: "an environment cannot read or load the registry's route; it answers by its last good one",
    Metric.EXTENSION_FAILED: "an environment has lost Lambda's Extensions API; its answers wait for the delivery",
}


class EndpointAlarms(Construct):
    """One alarm for each of these metrics. They are counted only when it happens."""

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint) -> None:
        super().__init__(scope, id)
        for metric, meaning in _ALARMS.items():
            cloudwatch.Alarm(
                self,
                metric,
                alarm_description=f"{endpoint.name}: {meaning}",
                metric=cloudwatch.Metric(
                    namespace=NAMESPACE,
                    metric_name=metric,
                    dimensions_map={"service": endpoint.service, "endpoint": endpoint.name},
                    statistic=cloudwatch.Stats.SUM,
                    period=Duration.minutes(1),
                ),
                threshold=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                evaluation_periods=1,
                # Nothing is counted where all goes well.
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
