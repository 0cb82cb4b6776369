"""What judges performance: the function that looks at what labels show, once a day, and where it announces what it finds.

It reads the archive, the registry and model packages, and writes the monitoring's documents alone.
"""

from __future__ import annotations

from aws_cdk import (
    Duration,
)
from constructs import Construct

from quicksilver.archive import OUTCOMES_PREFIX, PREDICTIONS_PREFIX
from quicksilver.metrics import Metric
from stacks.config import Stage
from stacks.constructs.alarm import Severity
from stacks.constructs.count_alarms import PERFORMANCE, CountAlarms
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

SERVICE = "performance"


class Performance(Construct):
    """The performance function of one stage, its schedule and its alarms."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        data: DataStack,
        control: ControlStack,
        layers: Layers,
        drift_policies: str,
        cutoffs: str,
    ) -> None:
        """``drift_policies`` and ``cutoffs`` are JSON objects by endpoint."""
        super().__init__(scope, id)
        function = Function(
            self,
            "Handler",
            stage=stage,
            folder="performance",
            service=SERVICE,
            description=f"Quicksilver {stage.name}: estimate performance, and judge it when labels are ripe",
            layers=layers,
            log_key=data.predictions_key,
            settings={
                "stage": stage.name,
                "drift_policies": drift_policies,
                "cutoffs": cutoffs,
                "archive_bucket": data.archive.bucket_name,
                "registry_table": data.registry.table_name,
                "models_bucket": data.models.bucket_name,
                "event_bus": control.bus.event_bus_name,
                "topic": control.topic.topic_arn,
                **engine_settings(stage, data),
            },
            memory_mib=MEMORY_MIB,
            storage_mib=storage_mib(stage),
            timeout=Duration.minutes(15),
        )
        allow_judging(function, data, PREDICTIONS_PREFIX, OUTCOMES_PREFIX)
        function.allow(["dynamodb:GetItem"], data.registry.table_arn)
        allow_telling(function, data, control)
        allow_engine(function, stage, data)
        # Labels are late by days anyway: the next day's run is soon enough a retry.
        Schedule(
            self,
            "EveryDay",
            stage=stage,
            function=function,
            every=Duration.days(1),
            description="Performance is judged",
        )
        if not stage.emulated:  # an emulator takes no metrics out of logs, so they would never ring
            CountAlarms(
                self,
                "Counts",
                stage=stage,
                subject=SERVICE,
                dimensions={"service": SERVICE},
                meanings=PERFORMANCE,
            )
            Silence(
                self,
                "NobodyJudges",
                stage=stage,
                subject=SERVICE,
                what="nobody-judges",
                severity=Severity.TICKET,
                description="performance: nobody has looked at what labels show for two days",
                metric=Metric.PERFORMANCE_RUNS,
                period=Duration.days(1),
                periods=2,
            )
