"""The functions of a retraining, and what each of them may do.

They read requests and work in one folder of the archive's bucket. The candidate function changes the registry, by three
paths of each endpoint: it can register, hand in evidence and add a shadow, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, Stack, aws_iam as iam
from constructs import Construct

from quicksilver.archive import OUTCOMES_PREFIX, PREDICTIONS_PREFIX
from quicksilver.monitoring import MONITORING_PREFIX, Kind
from quicksilver.retraining.workspace import TRAINING_PREFIX
from stacks.config import BuiltInTraining, Stage
from stacks.constructs.artefact_bucket import PACKAGES
from stacks.constructs.compliance import acknowledge
from stacks.constructs.function import Function
from stacks.constructs.judging import allow_engine, engine_settings
from stacks.constructs.layers import Layers
from stacks.constructs.object_access import allow_listing, allow_objects, finding_resource
from stacks.constructs.registry_api import RegistryApi
from stacks.data_stack import DataStack

_REQUESTS = f"{MONITORING_PREFIX}{Kind.RETRAIN}/"
_EXECUTIONS = f"{MONITORING_PREFIX}{Kind.RETRAINING}/"
_OWN_FOLDER = "Each request has a folder of its own here, made when it is asked."


def allow_workspace(role: iam.Role, data: DataStack, *actions: str) -> None:
    """Grant ``actions`` on the folders of requests in the archive's bucket."""
    allow_objects(role, actions=actions, bucket=data.archive, prefix=TRAINING_PREFIX, reason=_OWN_FOLDER)


class RetrainingFunctions(Construct):
    """``training_set``, ``candidate`` and, where the stage trains by itself, ``train``."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        data: DataStack,
        registry: RegistryApi,
        layers: Layers,
        drift_policies: str,
        gate_policies: str,
    ) -> None:
        super().__init__(scope, id)
        self._stage, self._data, self._layers = stage, data, layers
        self.training_set = self._training_set(drift_policies)
        self.train = self._train(stage.training) if isinstance(stage.training, BuiltInTraining) else None
        self.candidate = self._candidate(registry, gate_policies)

    @property
    def all(self) -> tuple[Function, ...]:
        return (self.training_set, self.candidate, *([self.train] if self.train else []))

    def _training_set(self, policies: str) -> Function:
        function = self._function(
            "TrainingSet",
            service="training_set",
            description="leave the training set of a request in its workspace",
            settings={"drift_policies": policies, **engine_settings(self._stage, self._data)},
            memory_mib=3_008,
            storage_mib=10_240,
            lists=(_EXECUTIONS, PREDICTIONS_PREFIX, OUTCOMES_PREFIX),
        )
        role = function.own_role
        for prefix in (PREDICTIONS_PREFIX, OUTCOMES_PREFIX):
            self._allow(
                role, ["s3:GetObject"], prefix, "The archive is many objects, and a set is of any of them."
            )
        self._allow(
            role,
            ["s3:GetObject", "s3:PutObject"],
            _EXECUTIONS,
            "Which execution has taken a request is an object named by the request.",
        )
        allow_workspace(role, self._data, "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
        allow_engine(function, self._stage, self._data)
        return function

    def _train(self, training: BuiltInTraining) -> Function:
        function = self._function(
            "Train",
            service="train",
            description="train a model on the set of a request",
            settings={
                "models_bucket": self._data.models.bucket_name,
                "registry_table": self._data.registry.table_name,
            },
            memory_mib=training.memory_mib,
            # A set is written here to be read.
            storage_mib=10_240,
        )
        allow_workspace(function.own_role, self._data, "s3:GetObject", "s3:PutObject")
        self._allow_champion(function)
        return function

    def _candidate(self, registry: RegistryApi, gate_policies: str) -> Function:
        function = self._function(
            "Candidate",
            service="candidate",
            description="gate what training has left, register it and put it in shadow",
            settings={
                "models_bucket": self._data.models.bucket_name,
                "registry_table": self._data.registry.table_name,
                "registry_api_url": registry.api.url,
                "policies": gate_policies,
            },
            memory_mib=3_008,
        )
        role = function.own_role
        allow_workspace(role, self._data, "s3:GetObject", "s3:PutObject")
        self._allow_champion(function)
        allow_objects(
            role,
            actions=["s3:PutObject"],
            bucket=self._data.models,
            prefix=PACKAGES,
            reason="A package is stored by its SHA-256, and the bucket lets it be written once.",
        )
        function.allow(["kms:GenerateDataKey"], self._data.models_key.key_arn)
        self._allow_registering(function, registry)
        return function

    def _allow_registering(self, function: Function, registry: RegistryApi) -> None:
        """Let a function register, hand in evidence and add a shadow: no path that approves or changes a share."""
        stack, api = Stack.of(self), registry.api
        # Exported now and not at synthesis, so that the finding's id, which holds the export's name, is known.
        api_id = Stack.of(api).export_value(api.rest_api_id)
        for endpoint in self._stage.endpoints:
            for path in ("models", "models/*/evidence", "shadows"):
                arn = stack.format_arn(
                    service="execute-api",
                    resource=api_id,
                    resource_name=f"{self._stage.name}/POST/v1/registry/{endpoint.name}/{path}",
                )
                function.allow(["execute-api:Invoke"], arn)
                if "*" in path:
                    acknowledge(
                        function.own_role,
                        f"AwsSolutions-IAM5[Resource::{finding_resource(stack.resolve(arn))}]",
                        reason="The number of a model version is given when it is registered; nothing but evidence is there.",
                    )

    def _function(
        self,
        id: str,
        *,
        service: str,
        description: str,
        settings: dict[str, str],
        memory_mib: int,
        storage_mib: int | None = None,
        lists: Sequence[str] = (),
    ) -> Function:
        """A function of the machine, which also ``lists`` what is under these prefixes: it reads requests, and works under the archive's key."""
        function = Function(
            self,
            id,
            stage=self._stage,
            folder=service,
            service=service.replace("_", "-"),
            description=f"Quicksilver {self._stage.name}: {description}",
            layers=self._layers,
            log_key=self._data.predictions_key,
            settings={
                "stage": self._stage.name,
                "archive_bucket": self._data.archive.bucket_name,
                **settings,
            },
            memory_mib=memory_mib,
            storage_mib=storage_mib,
            timeout=Duration.minutes(15),
        )
        self._allow(
            function.own_role,
            ["s3:GetObject"],
            _REQUESTS,
            "A request is an object named by its id; it is only read.",
        )
        allow_listing(
            function.own_role,
            bucket=self._data.archive,
            prefixes=(_REQUESTS, TRAINING_PREFIX, *lists),
            tells_absence=True,
        )
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], self._data.predictions_key.key_arn)
        return function

    def _allow_champion(self, function: Function) -> None:
        """Let a function read what the champion is, and its package."""
        function.allow(["dynamodb:GetItem"], self._data.registry.table_arn)
        function.allow(["kms:Decrypt"], self._data.models_key.key_arn)
        allow_objects(
            function.own_role,
            actions=["s3:GetObject"],
            bucket=self._data.models,
            prefix=PACKAGES,
            reason="The champion may be any registered model version, and packages are stored by their SHA-256.",
        )

    def _allow(self, role: iam.Role, actions: list[str], prefix: str, reason: str) -> None:
        allow_objects(role, actions=actions, bucket=self._data.archive, prefix=prefix, reason=reason)
