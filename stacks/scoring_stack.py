"""What answers: layers, one score function per endpoint behind ``live``, the function that takes outcomes, the API, and the
prediction archive.

All of it can be rebuilt from the checkout. Every grant is written here, where both parties are visible:
each function has a role of its own with the verbs it needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import (
    Duration,
    Stack,
    aws_codedeploy as codedeploy,
    aws_logs as logs,
)
from constructs import Construct

from quicksilver.archive import OUTCOMES_PREFIX, UNDELIVERED_PREFIX
from stacks.config import Endpoint, SecondRegion, Shift, Side, Stage
from stacks.constructs.artefact_bucket import PACKAGES
from stacks.constructs.count_alarms import ENDPOINT, REDELIVERY, CountAlarms
from stacks.constructs.failover import PrimaryHealth, take_turns
from stacks.constructs.function import Function
from stacks.constructs.layers import LAYERS_ROOT, LEAN, Layers
from stacks.constructs.live_alias import LIVE, CodeRelease, LiveAlias, deployment_config
from stacks.constructs.object_access import allow_listing, allow_objects
from stacks.constructs.prediction_archive import PredictionArchive
from stacks.constructs.release_hooks import ReleaseHooks
from stacks.constructs.schedule import Schedule
from stacks.constructs.scoring_api import ScoringApi
from stacks.constructs.signed_api import SignedApi
from stacks.constructs.stage_region import environment_of
from stacks.constructs.warm_environments import WarmEnvironments
from stacks.data_stack import DataStack


class ScoringStack(Stack):
    """Scoring of one stage on the stores of its ``DataStack``."""

    def __init__(
        self, scope: Construct, *, stage: Stage, data: DataStack, layers_root: Path = LAYERS_ROOT
    ) -> None:
        super().__init__(
            scope,
            f"quicksilver-{stage.name}-scoring",
            env=environment_of(stage),
            description=f"Quicksilver {stage.name}: score functions, API and prediction archive",
        )
        self._stage = stage
        self._data = data
        self._layers = Layers(self, "Layers", stage=stage, root=layers_root)

        functions = {endpoint.name: self._score_function(endpoint) for endpoint in stage.endpoints}
        self.decision_logs: list[logs.ILogGroup] = [function.log_group for function in functions.values()]
        """What a decision writes to: the log groups of the score functions, and the API's access log."""
        live = {
            endpoint.name: LiveAlias(self, f"{_id(endpoint)}Live", function=functions[endpoint.name])
            for endpoint in stage.endpoints
        }
        if stage.release.shift is not Shift.DIRECT:
            self._release(functions, live)
        for endpoint in stage.endpoints:
            if endpoint.provisioned_concurrency:
                WarmEnvironments(
                    self,
                    f"{_id(endpoint)}Warm",
                    function_name=stage.function_name(endpoint.service),
                    version=functions[endpoint.name].current_version,
                    provisioned=endpoint.provisioned_concurrency,
                )
            if not stage.emulated:  # an emulator takes no metrics out of logs, so they would never ring
                CountAlarms(
                    self,
                    f"{_id(endpoint)}Alarms",
                    stage=stage,
                    subject=endpoint.name,
                    dimensions={"service": endpoint.service, "endpoint": endpoint.name},
                    meanings=ENDPOINT,
                )

        self._redeliver_function()
        archive = PredictionArchive(
            self,
            "Archive",
            stage=stage,
            stream=data.predictions,
            bucket=data.archive,
            key=data.predictions_key,
            tables=data.archive_tables,
        )
        self.delivery_name = archive.delivery_name
        api = ScoringApi(
            self,
            "Api",
            stage=stage,
            live=live,
            outcomes=self._outcomes_function(),
            log_key=data.predictions_key,
        )
        self.decision_logs.append(api.api.access_log)
        if stage.second_region:
            self._take_turns(api.api, stage.second_region)

    def _take_turns(self, api: SignedApi, regions: SecondRegion) -> None:
        side, check_id = self._stage.side, None
        if side is Side.PRIMARY:
            check_id = PrimaryHealth(
                self, "Health", stage=self._stage, api=api, region=regions.primary
            ).check_id
        if api.domain is not None and api.domain.record is not None:
            take_turns(api.domain.record, side, check_id)

    def _release(self, functions: Mapping[str, Function], live: Mapping[str, LiveAlias]) -> None:
        stage = self._stage
        application = codedeploy.LambdaApplication(self, "Releases")
        config = deployment_config(self, "Shift", stage.release)
        hooks = ReleaseHooks(
            self,
            "ReleaseHooks",
            stage=stage,
            data=self._data,
            layers=self._layers,
            functions=functions,
            alias=LIVE,
        )
        for endpoint in stage.endpoints:
            CodeRelease(
                self,
                f"{_id(endpoint)}Release",
                stage=stage,
                endpoint=endpoint,
                config=config,
                hooks=hooks,
                application=application,
                function_name=stage.function_name(endpoint.service),
                alias=live[endpoint.name],
            )

    def _score_function(self, endpoint: Endpoint) -> Function:
        data, warm = self._data, endpoint.provisioned_concurrency
        function = Function(
            self,
            f"Score{_id(endpoint)}",
            stage=self._stage,
            folder="score",
            service=endpoint.service,
            description=f"Quicksilver {self._stage.name}: score {endpoint.name}",
            layers=self._layers,
            log_key=data.predictions_key,
            settings={
                "stage": self._stage.name,
                "endpoint": endpoint.name,
                "features_table": data.features.table_name,
                "registry_table": data.registry.table_name,
                "predictions_stream": data.predictions.stream_name,
                "models_bucket": data.models.bucket_name,
                "archive_bucket": data.archive.bucket_name,
                "signing_key": data.signing_key.key_arn,
                "deadline_ms": str(endpoint.deadline_ms),
                "batch_deadline_ms": str(endpoint.batch_deadline_ms),
                "log_before_response": str(endpoint.log_before_response).lower(),
                **self._idempotency_settings(endpoint),
            },
            memory_mib=endpoint.memory_mib,
            timeout=Duration.seconds(endpoint.timeout_seconds),
            provisioned_concurrency=warm.floor if warm else 0,
            snap_start=not (warm or self._stage.emulated),
            # A kept snapshot is paid for as long as its function version is there.
            keeps_versions=warm is not None,
            scores=True,
            subject=endpoint.name,
        )
        function.allow(["dynamodb:BatchGetItem"], data.features.table_arn)
        function.allow(["dynamodb:GetItem"], data.registry.table_arn)
        function.allow(["kinesis:PutRecords"], data.predictions.stream_arn)
        allow_objects(
            function.own_role,
            actions=["s3:GetObject"],
            bucket=data.models,
            prefix=PACKAGES,
            reason="A route may name any registered model version, and packages are stored by their SHA-256.",
        )
        allow_objects(
            function.own_role,
            actions=["s3:PutObject"],
            bucket=data.archive,
            prefix=f"{UNDELIVERED_PREFIX}{endpoint.name}/",
            reason="Each batch of undelivered records is an object with an id of its own.",
        )
        function.allow(["kms:Decrypt"], data.features_key.key_arn, data.models_key.key_arn)
        function.allow(["kms:GenerateDataKey"], data.predictions_key.key_arn)
        function.allow(["kms:Verify"], data.signing_key.key_arn)
        if endpoint.idempotency_hours:
            function.allow(["dynamodb:PutItem", "dynamodb:DeleteItem"], data.idempotency.table_arn)
            # The table's key is asked for with each caller's own permission.
            function.allow(["kms:Decrypt"], data.predictions_key.key_arn)
        return function

    def _idempotency_settings(self, endpoint: Endpoint) -> dict[str, str]:
        if not endpoint.idempotency_hours:
            return {}
        return {
            "idempotency_table": self._data.idempotency.table_name,
            "idempotency_seconds": str(endpoint.idempotency_hours * 3_600),
            "timeout_seconds": str(endpoint.timeout_seconds),
        }

    def _outcomes_function(self) -> Function:
        data = self._data
        function = Function(
            self,
            "Outcomes",
            stage=self._stage,
            folder="outcomes",
            service="outcomes",
            description=f"Quicksilver {self._stage.name}: take the outcomes of predictions",
            layers=self._layers,
            carries=LEAN,
            log_key=data.predictions_key,
            settings={
                "stage": self._stage.name,
                "endpoints": json.dumps([endpoint.name for endpoint in self._stage.endpoints]),
                "archive_bucket": data.archive.bucket_name,
            },
            memory_mib=1_024,
            timeout=Duration.seconds(28),
            concurrency=self._stage.reserved_concurrency.api,
        )
        for endpoint in self._stage.endpoints:
            allow_objects(
                function.own_role,
                actions=["s3:PutObject"],
                bucket=data.archive,
                prefix=f"{OUTCOMES_PREFIX}{endpoint.name}/",
                reason="Each delivery is an object named by its content; it may only add, and only here.",
            )
        function.allow(["kms:GenerateDataKey"], data.predictions_key.key_arn)
        return function

    def _redeliver_function(self) -> None:
        data = self._data
        function = Function(
            self,
            "Redeliver",
            stage=self._stage,
            folder="redeliver",
            service="redeliver",
            description=f"Quicksilver {self._stage.name}: put undelivered prediction records back on the stream",
            layers=self._layers,
            log_key=data.predictions_key,
            settings={
                "stage": self._stage.name,
                "predictions_stream": data.predictions.stream_name,
                "archive_bucket": data.archive.bucket_name,
            },
            memory_mib=512,
            # Below the schedule's minute, so that two runs never carry the same records.
            timeout=Duration.seconds(55),
        )
        allow_objects(
            function.own_role,
            # What is left of a batch takes its place.
            actions=["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            bucket=data.archive,
            prefix=UNDELIVERED_PREFIX,
            reason="It takes back whatever any endpoint left here, removes what was delivered, and leaves of a batch what was not.",
        )
        allow_listing(
            function.own_role, bucket=data.archive, prefixes=[UNDELIVERED_PREFIX], tells_absence=True
        )
        function.allow(["kinesis:PutRecords"], data.predictions.stream_arn)
        function.allow(["kms:Decrypt", "kms:GenerateDataKey"], data.predictions_key.key_arn)
        Schedule(
            self,
            "RedeliverEveryMinute",
            stage=self._stage,
            function=function,
            every=Duration.minutes(1),
            description="Undelivered prediction records go back on the stream",
        )
        if not self._stage.emulated:
            CountAlarms(
                self,
                "RedeliveryCounts",
                stage=self._stage,
                subject="redeliver",
                dimensions={"service": "redeliver"},
                meanings=REDELIVERY,
            )


def _id(endpoint: Endpoint) -> str:
    """``card-fraud`` as part of a construct's name: ``CardFraud``."""
    return "".join(word.capitalize() for word in endpoint.name.split("-"))
