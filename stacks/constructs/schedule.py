"""A function that runs by the clock, and the alarm that says when EventBridge could not start it."""

from __future__ import annotations

from aws_cdk import (
    Duration,
    aws_cloudwatch as cloudwatch,
    aws_events as events,
    aws_events_targets as targets,
)
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.alarm import Alarm, Severity
from stacks.constructs.compliance import acknowledge
from stacks.constructs.function import Function


class Schedule(events.Rule):
    """Runs ``function`` ``every`` so often, without retries: the next run is the retry."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        function: Function,
        every: Duration,
        description: str,
    ) -> None:
        super().__init__(
            scope,
            id,
            description=description,
            schedule=events.Schedule.rate(every),
            targets=[targets.LambdaFunction(function, retry_attempts=0)],
        )
        acknowledge(
            self,
            "Serverless-EventBusDLQ",
            reason="A tick carries nothing: the next one does what this one did not, and alarms say when none does.",
        )
        if not stage.emulated:
            alarm_on_failed_starts(self, stage=stage, subject=function.service)


def alarm_on_failed_starts(rule: events.Rule, *, stage: Stage, subject: str) -> None:
    """Ring when the rule could not start what it starts: a permission that is gone, a target that is."""
    Alarm(
        rule,
        "NotStarted",
        stage=stage,
        subject=subject,
        what="not-started",
        severity=Severity.TICKET,
        description=f"{subject}: EventBridge could not start it",
        metric=cloudwatch.Metric(
            namespace="AWS/Events",
            metric_name="FailedInvocations",
            dimensions_map={"RuleName": rule.rule_name},
            statistic=cloudwatch.Stats.SUM,
            period=Duration.minutes(5),
        ),
        threshold=1,
    )
