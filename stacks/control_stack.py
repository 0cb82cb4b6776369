"""What decides: the registry function, which alone changes model versions and routes, behind its own API.

All of it can be rebuilt from the checkout; what it decided is in the data stack. Every grant is written here.
"""

from __future__ import annotations

from pathlib import Path

from aws_cdk import CfnOutput, Duration, Stack, aws_iam as iam
from constructs import Construct

from stacks.config import ONE_VCPU_MIB, Stage
from stacks.constructs.artefact_bucket import EVIDENCE, PACKAGES
from stacks.constructs.function import Function
from stacks.constructs.layers import LAYERS_ROOT, Layers
from stacks.constructs.object_access import allow_objects
from stacks.constructs.registry_api import RegistryApi
from stacks.data_stack import DataStack
from stacks.policies import POLICIES_ROOT, policies_json


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
            description=f"Quicksilver {stage.name}: the registry function and its API",
        )
        function = Function(
            self,
            "RegistryHandler",
            stage=stage,
            folder="registry",
            service="registry",
            description=f"Quicksilver {stage.name}: model versions, approvals, routes and their history",
            layers=Layers(self, "ControlLayers", stage=stage, root=layers_root),
            log_key=data.predictions_key,
            settings={
                "stage": stage.name,
                "registry_table": data.registry.table_name,
                "models_bucket": data.models.bucket_name,
                "signing_key": data.signing_key.key_arn,
                "policies": policies_json(stage, policies_root),
            },
            # It loads a package and runs its golden rows before it gives a number.
            memory_mib=ONE_VCPU_MIB,
            timeout=Duration.seconds(28),
            role_name=stage.registry_role_name(self.region),
        )
        self._allow(function, data)
        RegistryApi(self, "RegistryApi", stage=stage, function=function, log_key=data.predictions_key)
        CfnOutput(self, "RegistryFunction", value=function.function_name)

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
        function.allow(["kms:Sign", "kms:Verify"], data.signing_key.key_arn)
