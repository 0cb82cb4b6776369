"""What moves rollouts: the function that looks at each of them every minute, and where it announces what it finds.

It reads the registry and the rollup, and changes neither: a decision is one signed call of the registry's API, on
the one path of each endpoint that its role may call.
"""

from __future__ import annotations

import json

from aws_cdk import (
    CfnOutput,
    Duration,
    aws_events as events,
    aws_iam as iam,
    aws_sns as sns,
)
from constructs import Construct

from quicksilver.announcements import SOURCE
from quicksilver.metrics import Metric
from stacks.config import Stage
from stacks.constructs.alarm import Severity
from stacks.constructs.count_alarms import ROLLOUT, CountAlarms
from stacks.constructs.function import Function
from stacks.constructs.layers import Layers
from stacks.constructs.registry_api import RegistryApi
from stacks.constructs.schedule import Schedule
from stacks.constructs.silence import Silence
from stacks.data_stack import DataStack

SERVICE = "rollout"


class Rollout(Construct):
    """The rollout function of one stage, its schedule and its alarms, and the ``bus`` and ``topic`` of everything that is
    announced."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        data: DataStack,
        layers: Layers,
        registry: RegistryApi,
    ) -> None:
        super().__init__(scope, id)
        # The account's own bus: whoever wants to hear of a stage makes a rule there, without asking us.
        self.bus = bus = events.EventBus.from_event_bus_name(self, "Bus", "default")
        self.topic = topic = sns.Topic(
            self,
            "Announcements",
            display_name=f"Quicksilver {stage.name}",
            master_key=data.models_key,
            enforce_ssl=True,
        )
        function = Function(
            self,
            "Handler",
            stage=stage,
            folder="rollout",
            service=SERVICE,
            description=f"Quicksilver {stage.name}: look at every rollout, and announce what the histories say",
            layers=layers,
            log_key=data.predictions_key,
            settings={
                "stage": stage.name,
                "endpoints": json.dumps([endpoint.name for endpoint in stage.endpoints]),
                "registry_table": data.registry.table_name,
                "registry_api_url": registry.api.url,
                "rollup_table": data.rollup.table_name,
                "announcements_table": data.announcements.table_name,
                "event_bus": bus.event_bus_name,
                "topic": topic.topic_arn,
            },
            memory_mib=1_024,
            # Below the schedule's minute: runs seldom meet, though two at once do no harm.
            timeout=Duration.seconds(55),
        )
        function.allow(["dynamodb:GetItem", "dynamodb:Query"], data.registry.table_arn)
        function.allow(["dynamodb:Query"], data.rollup.table_arn)
        function.allow(["dynamodb:GetItem", "dynamodb:PutItem"], data.announcements.table_arn)
        function.allow(["kms:Decrypt"], data.predictions_key.key_arn)
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], data.models_key.key_arn)
        function.allow(["sns:Publish"], topic.topic_arn)
        function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["events:PutEvents"],
                resources=[bus.event_bus_arn],
                conditions={"StringEquals": {"events:source": SOURCE}},
            )
        )
        function.allow(
            ["execute-api:Invoke"],
            *(
                registry.api.arn_for_execute_api(
                    "POST", f"/v1/registry/{endpoint.name}/rollout/decision", stage.name
                )
                for endpoint in stage.endpoints
            ),
        )
        Schedule(
            self,
            "EveryMinute",
            stage=stage,
            function=function,
            every=Duration.minutes(1),
            description="Rollouts are looked at",
        )
        if not stage.emulated:  # an emulator takes no metrics out of logs, so they would never ring
            CountAlarms(
                self,
                "Counts",
                stage=stage,
                subject=SERVICE,
                dimensions={"service": SERVICE},
                meanings=ROLLOUT,
            )
            Silence(
                self,
                "NobodyLooks",
                stage=stage,
                subject=SERVICE,
                what="nobody-looks",
                severity=Severity.PAGE,
                description="rollout: nobody has looked at any endpoint for five minutes; canaries are unguarded",
                metric=Metric.ROLLOUT_LOOKS,
                period=Duration.minutes(5),
            )
        CfnOutput(scope, "AnnouncementsTopic", value=topic.topic_arn)
