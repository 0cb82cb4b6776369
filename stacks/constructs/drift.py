"""What watches for drift: the function that judges every endpoint's windows each hour, by the archive and the registry.

It reads predictions and packages, writes the monitoring's own documents, and tells what it found on the control stack's bus
and topic. It changes nothing else: a new model is asked for by a document and an event.
"""

from __future__ import annotations

import json

from aws_cdk import (
    Duration,
)
from constructs import Construct

from quicksilver.archive import PREDICTIONS_PREFIX
from quicksilver.metrics import Metric
from stacks.config import Stage
from stacks.constructs.alarm import Severity
from stacks.constructs.count_alarms import DRIFT, CountAlarms
from stacks.constructs.function import Function
from stacks.constructs.judging import (
    MEMORY_MIB,
    allow_engine,
    allow_judging,
    allow_telling,
    engine_settings,
    storage_mib,
)
from stacks.constructs.layers import Layers
from stacks.constructs.schedule import Schedule
from stacks.constructs.silence import Silence
from stacks.control_stack import ControlStack
from stacks.data_stack import DataStack

SERVICE = "drift"


class Drift(Construct):
    """The drift function of one stage, its schedule and its alarms."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        data: DataStack,
        control: ControlStack,
        layers: Layers,
        policies: str,
        cutoffs: str,
    ) -> None:
        super().__init__(scope, id)
        function = Function(
            self,
            "Handler",
            stage=stage,
            folder="drift",
            service=SERVICE,
            description=f"Quicksilver {stage.name}: judge every endpoint's windows, and tell of drift",
            layers=layers,
            log_key=data.predictions_key,
            settings={
                "stage": stage.name,
                "drift_policies": policies,
                "cutoffs": cutoffs,
                "archive_bucket": data.archive.bucket_name,
                "models_bucket": data.models.bucket_name,
                "registry_table": data.registry.table_name,
                "rollup_table": data.rollup.table_name,
                "event_bus": control.bus.event_bus_name,
                "topic": control.topic.topic_arn,
                **engine_settings(stage, data),
            },
            memory_mib=MEMORY_MIB,
            storage_mib=storage_mib(stage),
            # Lambda's most: a run goes through what is due for as long as there is time, and the next one goes on.
            timeout=Duration.minutes(15),
        )
        allow_judging(function, data, PREDICTIONS_PREFIX)
        function.allow(["dynamodb:GetItem"], data.registry.table_arn)
        function.allow(["dynamodb:Query"], data.rollup.table_arn)
        allow_telling(function, data, control)
        allow_engine(function, stage, data)
        # Two runs at once do no harm, so no concurrency is kept for it.
        Schedule(
            self,
            "EveryHour",
            stage=stage,
            function=function,
            every=Duration.hours(1),
            description="Windows of predictions are judged",
        )
        if not stage.emulated:  # an emulator takes no metrics out of logs, so they would never ring
            CountAlarms(
                self, "Counts", stage=stage, subject=SERVICE, dimensions={"service": SERVICE}, meanings=DRIFT
            )
            self._nobody_judges_alarm(stage, json.loads(policies))

    def _nobody_judges_alarm(self, stage: Stage, policies: dict[str, dict[str, int]]) -> None:
        """Each window that ends is judged: within the shortest that an endpoint has and a day more, one at least."""
        hours = min(policy.get("window_hours", 24) for policy in policies.values())
        days = min(7, -(-hours // 24) + 1)
        Silence(
            self,
            "NobodyJudges",
            stage=stage,
            subject=SERVICE,
            what="nobody-judges",
            severity=Severity.TICKET,
            description=f"drift: no window was judged for {days} days; nobody watches for drift",
            metric=Metric.DRIFT_WINDOWS_JUDGED,
            period=Duration.days(1),
            periods=days,
        )
