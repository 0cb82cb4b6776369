"""Whom the stage calls, and what a person on call looks at: a topic for what must be seen to now, and one for what can wait
until the morning.

Only on AWS: an emulator has no composite alarms and no dashboards.
"""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack, aws_sns as sns
from constructs import Construct

from stacks.config import Stage
from stacks.data_stack import DataStack


class OperationsStack(Stack):
    """The operations of one stage; its other stacks know nothing of it."""

    def __init__(self, scope: Construct, *, stage: Stage, data: DataStack) -> None:
        super().__init__(
            scope,
            f"quicksilver-{stage.name}-operations",
            description=f"Quicksilver {stage.name}: objectives, alarms and dashboards",
        )
        self._stage = stage
        self._data = data
        self.page = self._topic("Page", "to be seen to now")
        self.ticket = self._topic("Ticket", "to be seen to in working hours")

    def _topic(self, id: str, meaning: str) -> sns.Topic:
        topic = sns.Topic(
            self,
            id,
            display_name=f"Quicksilver {self._stage.name}: {meaning}",
            master_key=self._data.models_key,
            enforce_ssl=True,
        )
        CfnOutput(self, f"{id}Topic", value=topic.topic_arn)
        return topic
