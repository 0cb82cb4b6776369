"""Whom the stage calls, and what a person on call looks at: a topic for what must be seen to now, and one for what can wait
until the morning.

Only on AWS: an emulator has no composite alarms and no dashboards.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CfnOutput, Stack, aws_iam as iam, aws_sns as sns
from constructs import Construct

from stacks.config import Stage
from stacks.constructs.alarm import Severity, alarms_of, alarms_of_stage
from stacks.constructs.composites import Composites
from stacks.constructs.dashboard import Dashboards
from stacks.constructs.delay_and_loss import DelayAndLoss
from stacks.constructs.objectives import ObjectiveAlarms
from stacks.constructs.stage_region import environment_of
from stacks.data_stack import DataStack
from stacks.scoring_stack import ScoringStack


class OperationsStack(Stack):
    """The operations of one stage; its other stacks know nothing of it."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        data: DataStack,
        scoring: ScoringStack,
        watched: Sequence[Stack],
    ) -> None:
        """``watched`` are the stage's other stacks, whose alarms are told here."""
        super().__init__(
            scope,
            f"quicksilver-{stage.name}-operations",
            env=environment_of(stage),
            description=f"Quicksilver {stage.name}: objectives, alarms and dashboards",
        )
        self._stage = stage
        self._data = data
        self.page = self._topic("Page", "to be seen to now")
        self.ticket = self._topic("Ticket", "to be seen to in working hours")
        DelayAndLoss(self, "DelayAndLoss", stage=stage, data=data)
        for endpoint in stage.endpoints:
            ObjectiveAlarms(self, f"Objectives-{endpoint.name}", stage=stage, endpoint=endpoint)
        Composites(
            self,
            "Composites",
            stage=stage,
            alarms=alarms_of(*watched, self),
            topics={Severity.PAGE: self.page, Severity.TICKET: self.ticket},
        )
        for stack in watched:
            # A composite names alarms, and those must be there.
            self.add_stack_dependency(stack)
        # The last of all: the bill on them counts what is there.
        Dashboards(self, "Dashboards", stage=stage, data=data, scoring=scoring)

    def _topic(self, id: str, meaning: str) -> sns.Topic:
        topic = sns.Topic(
            self,
            id,
            display_name=f"Quicksilver {self._stage.name}: {meaning}",
            master_key=self._data.models_key,
            enforce_ssl=True,
        )
        # The policy that asks for TLS takes the place of the one by which the account's own services may publish.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions=alarms_of_stage(self, self._stage),
            )
        )
        CfnOutput(self, f"{id}Topic", value=topic.topic_arn)
        return topic
