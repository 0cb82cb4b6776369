"""Alarms: each with a name of its own, a severity and a section of the runbook, and none that calls anybody by itself.

Who is called is the composite alarms' affair (``composites.py``): one for each subject and severity, so that one incident is
one message. They find alarms by name, which is why every name is written out and none is generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from weakref import WeakKeyDictionary

from aws_cdk import ArnFormat, Stack, aws_cloudwatch as cloudwatch
from constructs import Construct

from stacks.config import Stage


class Severity(Enum):
    """Who has to know, and when."""

    PAGE = "page"  # somebody, now: callers are not answered as promised, or data is being lost
    TICKET = "ticket"  # somebody, within the day: nothing is lost yet


class When(Enum):
    """On which side of its threshold an alarm rings."""

    AT_OR_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
    BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


_ALARMS: WeakKeyDictionary[Stack, list[Alarm]] = WeakKeyDictionary()


class Alarm(cloudwatch.Alarm):
    """``quicksilver-<stage>-<subject>-<what>``: ``metric`` is past ``threshold`` in ``periods`` of its periods in a row.

    ``subject`` is whom it concerns: an endpoint or a service. ``runbook`` is the anchor of its section of the runbook, and
    ``what`` if it is not given. No traffic is no evidence of anything, and most of what is counted is counted only when it
    happens: so what is not measured does not ring, unless ``silence_rings``. With ``together_with``, nobody is called before both alarms ring.
    """

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
        metric: cloudwatch.IMetric,
        threshold: float,
        periods: int = 1,
        when: When = When.AT_OR_ABOVE,
        silence_rings: bool = False,
        runbook: str | None = None,
        together_with: Alarm | None = None,
    ) -> None:
        self.name = f"quicksilver-{stage.name}-{subject}-{what}"
        self.subject = subject
        self.severity = severity
        self.together_with = together_with
        super().__init__(
            scope,
            id,
            alarm_name=self.name,
            alarm_description=f"{description}. Runbook: {stage.runbook}#{runbook or what}",
            metric=metric,
            threshold=threshold,
            comparison_operator=when.value,
            evaluation_periods=periods,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING
            if silence_rings
            else cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        _ALARMS.setdefault(Stack.of(self), []).append(self)


def alarms_of_stage(stack: Stack, stage: Stage) -> dict[str, dict[str, str]]:
    """The condition that it is an alarm of this stage on whose behalf CloudWatch asks."""
    alarms = stack.format_arn(
        service="cloudwatch",
        resource="alarm",
        resource_name=f"quicksilver-{stage.name}-*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    return {"StringEquals": {"aws:SourceAccount": stack.account}, "ArnLike": {"aws:SourceArn": alarms}}


def alarms_of(*stacks: Stack) -> Sequence[Alarm]:
    """Every alarm that was made in these stacks, in order."""
    return [alarm for stack in stacks for alarm in _ALARMS.get(stack, ())]
