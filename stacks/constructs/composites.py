"""Composite alarms: one for each subject and severity, and the only ones that call anybody.

So an incident that rings five alarms is one message. The message names the alarms that ring (``TriggeringChildren``), and each
of them names its section of the runbook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aws_cdk import aws_cloudwatch as cloudwatch, aws_sns as sns
from constructs import Construct

from stacks.config import ConfigError, Stage
from stacks.constructs.alarm import Alarm, Severity

RULE_LIMIT = 10_240
"""Characters of one rule. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html"""

ALARMS_LIMIT = 100
"""Alarms in one rule, as there."""


class Composites(Construct):
    """Gathers the alarms by subject and severity, each in exactly one composite, and tells the topic of its severity.

    Raises ``ConfigError`` for two alarms of one name, and for a subject with more alarms than one rule takes.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        alarms: Iterable[Alarm],
        topics: Mapping[Severity, sns.ITopic],
    ) -> None:
        super().__init__(scope, id)
        names: set[str] = set()
        gathered: dict[tuple[str, Severity], list[Alarm]] = {}
        for alarm in alarms:
            if alarm.name in names:
                raise ConfigError(f"Two alarms of stage {stage.name} have the name {alarm.name}.")
            names.add(alarm.name)
            gathered.setdefault((alarm.subject, alarm.severity), []).append(alarm)
        for (subject, severity), members in gathered.items():
            name = f"quicksilver-{stage.name}-{subject}-{severity.value}"
            rule = _rule(name, members)
            composite = cloudwatch.CfnCompositeAlarm(
                self,
                name,
                alarm_name=name,
                alarm_description=f"{subject}: what rings is named in TriggeringChildren. Runbook: {stage.runbook}",
                alarm_rule=rule,
                alarm_actions=[topics[severity].topic_arn],
                ok_actions=[topics[severity].topic_arn],
            )
            # CloudWatch refuses a rule with an alarm that does not exist yet; those of other stacks do by then.
            for alarm in members:
                if alarm.stack is composite.stack:
                    composite.node.add_dependency(alarm)


def _rule(name: str, members: Iterable[Alarm]) -> str:
    """Any of the alarms; of a pair, both."""
    members = list(members)
    seconds = {alarm.together_with.name for alarm in members if alarm.together_with is not None}
    terms = [_term(alarm) for alarm in members if alarm.name not in seconds]
    rule = " OR ".join(terms)
    if len(members) > ALARMS_LIMIT or len(rule) > RULE_LIMIT:
        raise ConfigError(
            f"The composite alarm {name} would watch {len(members)} alarms by a rule of {len(rule)} characters; "
            f"CloudWatch takes {ALARMS_LIMIT} and {RULE_LIMIT}."
        )
    return rule


def _term(alarm: Alarm) -> str:
    if alarm.together_with is None:
        return f'ALARM("{alarm.name}")'
    return f'(ALARM("{alarm.name}") AND ALARM("{alarm.together_with.name}"))'
