"""Whose turn it is to answer under the stage's name, and how Route 53 knows whether the primary can: by an alarm on the API's
own errors.

Every path of the API asks for a signature, so no health checker could call it. A health check follows the metric of an
alarm: one metric, a plain statistic, whole periods in a row.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
"""

from __future__ import annotations

from aws_cdk import (
    CfnOutput,
    Duration,
    Stack,
    aws_apigateway as apigateway,
    aws_cloudwatch as cloudwatch,
    aws_route53 as route53,
)
from constructs import Construct

from stacks.config import Side, Stage

FAILING_SHARE = 0.5
FAILING_MINUTES = 3


class PrimaryHealth(Construct):
    """Unhealthy when half of all requests have failed for three minutes.

    Without data it stays as it was: no requests are no failure. So a region that tells nothing at all is failed over by a
    person (docs/recovery.md).
    """

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, api: apigateway.RestApi, region: str
    ) -> None:
        super().__init__(scope, id)
        # It tells Route 53 and nobody else: people are called by the objectives' alarms (objectives.py).
        alarm = cloudwatch.Alarm(
            self,
            "Failing",
            alarm_name=f"quicksilver-{stage.name}-primary-failing",
            alarm_description="The scoring API fails half of its requests, and Route 53 sends callers to the second region. "
            "Runbook: docs/runbook.md#availability-burns",
            metric=api.metric_server_error(statistic=cloudwatch.Stats.AVERAGE, period=Duration.minutes(1)),
            threshold=FAILING_SHARE,
            evaluation_periods=FAILING_MINUTES,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        check = route53.CfnHealthCheck(
            self,
            "Check",
            health_check_config=route53.CfnHealthCheck.HealthCheckConfigProperty(
                type="CLOUDWATCH_METRIC",
                alarm_identifier=route53.CfnHealthCheck.AlarmIdentifierProperty(
                    name=alarm.alarm_name, region=region
                ),
                insufficient_data_health_status="LastKnownStatus",
            ),
        )
        self.check_id = check.attr_health_check_id
        CfnOutput(Stack.of(self), "HealthCheck", value=self.check_id)


def take_turns(record: route53.ARecord, side: Side, check_id: str | None) -> None:
    """Let the name lead to the primary while its check is healthy, and to the standby else."""
    made = record.node.default_child
    assert isinstance(made, route53.CfnRecordSet)  # noqa: S101 - for the type checker: a record's resource is one
    made.failover = "PRIMARY" if side is Side.PRIMARY else "SECONDARY"
    made.set_identifier = side.value
    made.health_check_id = check_id
