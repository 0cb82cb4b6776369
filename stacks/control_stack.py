"""What decides: the registry function, which alone changes model versions and routes, behind its own API; the rollup,
which counts what each arm does; the rollout function, which moves canaries by it; and the shadow function, which
scores what was answered with models that answer nobody.

All of it can be rebuilt from the checkout; what it decided is in the data stack. Every grant is written here.
"""

from __future__ import annotations

from pathlib import Path

from aws_cdk import CfnOutput, Duration, Stack, aws_cloudwatch as cloudwatch, aws_iam as iam
from constructs import Construct

from quicksilver.archive import CONTRACTS_PREFIX, SHADOW_PREFIX
from quicksilver.metrics import NAMESPACE, Metric
from stacks.config import ONE_VCPU_MIB, Stage
from stacks.constructs.alarm import Alarm, Severity
from stacks.constructs.artefact_bucket import EVIDENCE, PACKAGES
from stacks.constructs.count_alarms import ROLLUP, SHADOW, CountAlarms
from stacks.constructs.function import Function
from stacks.constructs.layers import LAYERS_ROOT, Layers
from stacks.constructs.object_access import allow_objects
from stacks.constructs.registry_api import RegistryApi
from stacks.constructs.rollout import Rollout
from stacks.constructs.stage_region import environment_of
from stacks.constructs.stream_consumer import StreamConsumer
from stacks.data_stack import DataStack
from stacks.policies import POLICIES_ROOT, cutoffs_json, policies_json


class ControlStack(Stack):
    """The control plane of one stage on the stores of its ``DataStack``."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        data: DataStack,
        layers_root: Path = LAYERS_ROOT,
        policies_root: Path = POLICIES_ROOT,
    ) -> None:
        super().__init__(
            scope,
            f"quicksilver-{stage.name}-control",
            env=environment_of(stage),
            description=f"Quicksilver {stage.name}: the registry function and its API, rollup, rollouts and shadows",
        )
        layers = Layers(self, "ControlLayers", stage=stage, root=layers_root)
        self.registry_api = registry = self._registry(stage, data, layers, policies_root)
        self._rollup(stage, data, layers, policies_root)
        self._shadow(stage, data, layers)
        rollout = Rollout(self, "Rollout", stage=stage, data=data, layers=layers, registry=registry)
        self.bus, self.topic = rollout.bus, rollout.topic

    def _registry(self, stage: Stage, data: DataStack, layers: Layers, policies_root: Path) -> RegistryApi:
        function = Function(
            self,
            "RegistryHandler",
            stage=stage,
            folder="registry",
            service="registry",
            description=f"Quicksilver {stage.name}: model versions, approvals, routes and their history",
            layers=layers,
            log_key=data.predictions_key,
            settings={
                "stage": stage.name,
                "registry_table": data.registry.table_name,
                "models_bucket": data.models.bucket_name,
                "archive_bucket": data.archive.bucket_name,
                "signing_key": data.signing_key.key_arn,
                "policies": policies_json(stage, policies_root),
            },
            # It loads a package and runs its golden rows before it gives a number.
            memory_mib=ONE_VCPU_MIB,
            timeout=Duration.seconds(28),
            concurrency=stage.reserved_concurrency.api,
            role_name=stage.registry_role_name(self.region),
        )
        self._allow(function, data)
        CfnOutput(self, "RegistryFunction", value=function.function_name)
        return RegistryApi(self, "RegistryApi", stage=stage, function=function, log_key=data.predictions_key)

    def _allow(self, function: Function, data: DataStack) -> None:
        table = data.registry.table_arn
        function.allow(["dynamodb:GetItem", "dynamodb:Query"], table)
        function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["dynamodb:PutItem"],
                resources=[table],
                # Each change is a transaction that also appends to the history: no item is written alone.
                # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
                conditions={
                    "ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}
                },
            )
        )
        allow_objects(
            function.own_role,
            actions=["s3:GetObject"],
            bucket=data.models,
            prefix=PACKAGES,
            reason="Any package may be registered, and packages are stored by their SHA-256.",
        )
        allow_objects(
            function.own_role,
            actions=["s3:GetObject", "s3:PutObject"],
            bucket=data.models,
            prefix=EVIDENCE,
            reason="Each gate report is an object named by its SHA-256; the bucket lets it be written once.",
        )
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], data.models_key.key_arn)
        allow_objects(
            function.own_role,
            actions=["s3:PutObject"],
            bucket=data.archive,
            prefix=CONTRACTS_PREFIX,
            reason="Each contract is an object named by its fingerprint, written by whoever registers a model version of it first.",
        )
        function.allow(["kms:GenerateDataKey"], data.predictions_key.key_arn)
        function.allow(["kms:Sign"], data.signing_key.key_arn)

    def _rollup(self, stage: Stage, data: DataStack, layers: Layers, policies_root: Path) -> None:
        function = Function(
            self,
            "RollupHandler",
            stage=stage,
            folder="rollup",
            service="rollup",
            description=f"Quicksilver {stage.name}: count what each arm does, each prediction record once",
            layers=layers,
            log_key=data.predictions_key,
            settings={
                "stage": stage.name,
                "rollup_table": data.rollup.table_name,
                "rollup_period_seconds": str(stage.rollup_period_seconds),
                "cutoffs": cutoffs_json(stage, policies_root),
            },
            memory_mib=1_024,
            timeout=Duration.seconds(60),
            patience_minutes=3,
            concurrency=stage.reserved_concurrency.consumer,
        )
        function.allow(["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"], data.rollup.table_arn)
        StreamConsumer(
            self,
            "RollupConsumer",
            stage=stage,
            stream=data.predictions,
            # The table's key too.
            key=data.predictions_key,
            function=function,
            batch_size=1_000,
            batch_window=Duration.seconds(0 if stage.emulated else 5),
            late=Duration.minutes(5),
        )
        if not stage.emulated:  # an emulator takes no metrics out of logs, so they would never ring
            CountAlarms(
                self,
                "RollupCounts",
                stage=stage,
                subject="rollup",
                dimensions={"service": "rollup"},
                meanings=ROLLUP,
            )
            # Decision to count, whichever way the record took: put at once, or kept in S3 and redelivered.
            Alarm(
                self,
                "LogDelay",
                stage=stage,
                subject="rollup",
                what="prediction-log-delay",
                severity=Severity.TICKET,
                description=f"rollup: records are counted more than {stage.log_delay_seconds} s after their decisions",
                metric=cloudwatch.Metric(
                    namespace=NAMESPACE,
                    metric_name=Metric.PREDICTION_LOG_DELAY,
                    dimensions_map={"service": "rollup"},
                    statistic=cloudwatch.Stats.MAXIMUM,
                    period=Duration.minutes(1),
                ),
                threshold=stage.log_delay_seconds * 1_000,
                periods=5,
            )

    def _shadow(self, stage: Stage, data: DataStack, layers: Layers) -> None:
        function = Function(
            self,
            "ShadowHandler",
            stage=stage,
            folder="shadow",
            service="shadow",
            description=f"Quicksilver {stage.name}: score the prediction stream with every shadow",
            layers=layers,
            log_key=data.predictions_key,
            settings={
                "stage": stage.name,
                "registry_table": data.registry.table_name,
                "models_bucket": data.models.bucket_name,
                "archive_bucket": data.archive.bucket_name,
            },
            # It holds the models of every endpoint's shadows.
            memory_mib=ONE_VCPU_MIB,
            timeout=Duration.seconds(120),
            patience_minutes=3,
            concurrency=stage.reserved_concurrency.consumer,
        )
        function.allow(["dynamodb:GetItem"], data.registry.table_arn)
        allow_objects(
            function.own_role,
            actions=["s3:GetObject"],
            bucket=data.models,
            prefix=PACKAGES,
            reason="A shadow may be any registered model version, and packages are stored by their SHA-256.",
        )
        allow_objects(
            function.own_role,
            actions=["s3:PutObject"],
            bucket=data.archive,
            prefix=SHADOW_PREFIX,
            reason="Each batch of scores is an object named by its place in the stream; it may only add, and only here.",
        )
        function.allow(["kms:Decrypt"], data.models_key.key_arn)
        function.allow(["kms:GenerateDataKey"], data.predictions_key.key_arn)
        StreamConsumer(
            self,
            "ShadowConsumer",
            stage=stage,
            stream=data.predictions,
            key=data.predictions_key,
            function=function,
            # At some 4 KiB a record, well within the 6 MiB that Lambda hands over.
            batch_size=500,
            batch_window=Duration.seconds(0 if stage.emulated else 5),
            late=Duration.minutes(15),
        )
        if not stage.emulated:
            CountAlarms(
                self,
                "ShadowCounts",
                stage=stage,
                subject="shadow",
                dimensions={"service": "shadow"},
                meanings=SHADOW,
            )
