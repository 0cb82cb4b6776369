"""The objectives' alarms of one endpoint, out of a template that has nothing else, and what they would say of traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import App, Stack, aws_sns as sns
from aws_cdk.assertions import Template

from bench.alarm_states import States, Traffic, follows, rings
from stacks.config import Endpoint, Stage
from stacks.constructs.alarm import Severity, alarms_of
from stacks.constructs.composites import Composites
from stacks.constructs.objectives import ObjectiveAlarms


@dataclass(frozen=True)
class EndpointAlarms:
    """Metric alarms by name, and the rules of the composites over them."""

    metric: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, str]

    def calls(self, traffic: Traffic) -> dict[str, States]:
        """In which minutes each topic, ``page`` and ``ticket``, has been told."""
        states = {name: rings(alarm, traffic) for name, alarm in self.metric.items()}
        return {name.rpartition("-")[2]: follows(rule, states) for name, rule in self.rules.items()}


def alarms_of_endpoint(stage: Stage, endpoint: Endpoint) -> EndpointAlarms:
    stack = Stack(App(), "Objectives")
    ObjectiveAlarms(stack, "Objectives", stage=stage, endpoint=endpoint)
    topics: dict[Severity, sns.ITopic] = {severity: sns.Topic(stack, severity.name) for severity in Severity}
    Composites(stack, "Composites", stage=stage, alarms=alarms_of(stack), topics=topics)
    template = Template.from_stack(stack)

    def found(kind: str) -> list[Mapping[str, Any]]:
        return [item["Properties"] for item in template.find_resources(f"AWS::CloudWatch::{kind}").values()]

    return EndpointAlarms(
        {item["AlarmName"]: item for item in found("Alarm")},
        {item["AlarmName"]: item["AlarmRule"] for item in found("CompositeAlarm")},
    )
