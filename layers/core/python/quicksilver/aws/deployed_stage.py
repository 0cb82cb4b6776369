"""A deployed stage as its stacks' outputs describe it, and clients that reach it.

Used by the CLI, the demo and integration tests; functions are told what they need by their environment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ProfileNotFound
from pydantic import TypeAdapter

from quicksilver.aws.announcer import AwsAnnouncer
from quicksilver.aws.api import ApiClient, api_url
from quicksilver.aws.athena import AthenaEngine
from quicksilver.aws.clients import INVOKING, PARALLEL, STEADY
from quicksilver.aws.dynamodb_features import DynamoDBFeatureStore
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.aws.probed_api import ProbedApi
from quicksilver.aws.registry_client import RegistryClient
from quicksilver.aws.s3_archive import S3Archive
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.aws.s3_outcomes import S3OutcomeStore
from quicksilver.aws.stage_reader import AwsStageReader
from quicksilver.aws.stepfunctions_executions import StepFunctionsExecutions
from quicksilver.aws.system import SystemClock, pause
from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import NotFound, Unavailable
from quicksilver.gates.policy import Policy
from quicksilver.metrics import Metric
from quicksilver.registry_audit import Audit, audit
from quicksilver.stage_state import STACKS, stacks_of

BUS = "default"
"""The account's own bus, on which announcements are made."""


class _Uncounted:
    """Metrics of a process that has none: what matters here is raised to the person who waits."""

    def count(self, name: Metric, value: int = 1) -> None:
        """Count nothing."""


@dataclass(frozen=True)
class DeployedStage:
    """One stage. ``environment`` is what reaches it, in AWS's own variable names, where this process's does not.

    Only the local stage has one: the emulator's address, its region and the credentials it takes. ``client_certificate`` is a PEM
    file, for a scoring API with mutual TLS.
    """

    stage: str
    environment: Mapping[str, str] = field(default_factory=dict)
    client_certificate: str | None = field(default=None, kw_only=True)

    @property
    def endpoint_url(self) -> str | None:
        return self.environment.get("AWS_ENDPOINT_URL")

    @cached_property
    def session(self) -> Any:
        return boto3.Session(
            aws_access_key_id=self.environment.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=self.environment.get("AWS_SECRET_ACCESS_KEY"),
            region_name=self.environment.get("AWS_DEFAULT_REGION"),
        )

    def client(self, service: str, config: Config = STEADY) -> Any:
        """A client of one of AWS's services. Raises ``Unavailable`` without a region, and for a profile that is not there."""
        try:
            return self.session.client(service, endpoint_url=self.endpoint_url, config=config)
        except (NoRegionError, ProfileNotFound) as reason:
            error = Unavailable(f"The stage {self.stage} cannot be reached: {reason}")
            error.add_note("Set AWS_DEFAULT_REGION, or AWS_PROFILE to a profile that has a region.")
            raise error from None

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of the stage's stacks. Raises ``NotFound`` where it is not deployed."""
        cloudformation = self.client("cloudformation")
        found: dict[str, str] = {}
        for stack in STACKS:
            if stack not in stacks_of(found):
                continue
            name = f"quicksilver-{self.stage}-{stack}"
            try:
                (description,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if "does not exist" in str(error):
                    raise NotFound(
                        f"The stage {self.stage} is not deployed: there is no stack {name}."
                    ) from None
                raise Unavailable(f"CloudFormation refused to describe {name}: {error}") from error
            except BotoCoreError as error:
                raise Unavailable(f"The stage {self.stage} cannot be reached: {error}") from error
            found |= {item["OutputKey"]: item["OutputValue"] for item in description.get("Outputs", ())}
        return found

    @cached_property
    def api_url(self) -> str:
        """The scoring API's base address, without a slash at its end."""
        return api_url(self.outputs["ApiUrl"], self.endpoint_url)

    @cached_property
    def registry_api_url(self) -> str:
        """The registry API's base address, without a slash at its end."""
        return api_url(self.outputs["RegistryApiUrl"], self.endpoint_url)

    @cached_property
    def api_key(self) -> str:
        """The usage plan's key: it meters callers and opens nothing without a signature."""
        response = self.client("apigateway").get_api_key(apiKey=self.outputs["ApiKeyId"], includeValue=True)
        return str(response["value"])

    @cached_property
    def api(self) -> ApiClient:
        return ApiClient(
            self.api_url,
            self.session.get_credentials(),
            self.session.region_name,
            api_key=self.api_key,
            client_certificate=self.client_certificate,
        )

    @cached_property
    def registry(self) -> RegistryClient:
        """The registry, asked and changed as the identity behind our credentials."""
        return RegistryClient(
            ApiClient(self.registry_api_url, self.session.get_credentials(), self.session.region_name)
        )

    def score_function(self, endpoint: str) -> str:
        """The endpoint's score function, by the alias that API Gateway invokes."""
        return f"quicksilver-{self.stage}-score-{endpoint}:live"

    def function(self, service: str) -> str:
        """A function that the stage has one of, as it was last deployed: ``redeliver``, ``registry``, ``rollup`` and so on."""
        return f"quicksilver-{self.stage}-{service}"

    def policy(self, endpoint: str) -> Policy:
        """The endpoint's policy as the stage was deployed with it. Raises ``NotFound``."""
        policies = json.loads(self.environment_of(self.function("registry"))["QUICKSILVER_POLICIES"])
        if endpoint not in policies:
            raise NotFound(f"The stage {self.stage} has no endpoint {endpoint}.")
        return Policy.model_validate_json(json.dumps(policies[endpoint]))

    @cached_property
    def artifacts(self) -> S3ArtifactStore:
        return S3ArtifactStore(self.client("s3"), self.outputs["ModelsBucket"])

    def audit(self, endpoint: str, progress: Callable[[str], None]) -> Audit:
        """Check an endpoint's registry from what is stored, without asking the registry function."""
        return audit(
            endpoint,
            registry=self.registry_store,
            artifacts=self.artifacts,
            evidence=self.artifacts,
            signer=self.signer,
            progress=progress,
        )

    @cached_property
    def signer(self) -> KmsSigner:
        """Checks signatures of approvals. The registry function alone may sign."""
        return KmsSigner(self.client("kms"), self.outputs["SigningKey"])

    @property
    def reader(self) -> AwsStageReader:
        """How the stage's resources are."""
        return AwsStageReader(self.stage, self.client, emulated=self.endpoint_url is not None)

    def probed_api(self) -> ProbedApi:
        """The scoring API as a stranger and a caller find it."""
        credentials, region = self.session.get_credentials(), self.session.region_name

        def client(keyed: bool) -> ApiClient:
            return ApiClient(self.api_url, credentials, region, api_key=self.api_key if keyed else None)

        return ProbedApi(self.api_url, client)

    @cached_property
    def features(self) -> DynamoDBFeatureStore:
        return DynamoDBFeatureStore(
            self.client("dynamodb"),
            self.outputs["FeaturesTable"],
            attempt_seconds=1,
            pause=pause,
            metrics=_Uncounted(),
        )

    @cached_property
    def rollup(self) -> DynamoDBRollupStore:
        return DynamoDBRollupStore(self.client("dynamodb"), self.outputs["RollupTable"])

    @cached_property
    def archive(self) -> S3Archive:
        return S3Archive(self.client("s3", PARALLEL), self.outputs["ArchiveBucket"])

    @cached_property
    def athena(self) -> AthenaEngine:
        """The archive in Athena."""
        return AthenaEngine(
            self.client("athena"),
            workgroup=self.outputs["ArchiveWorkgroup"],
            database=self.outputs["ArchiveDatabase"],
            clock=SystemClock(),
            pause=time.sleep,
        )

    @cached_property
    def outcomes(self) -> S3OutcomeStore:
        return S3OutcomeStore(self.client("s3"), self.outputs["ArchiveBucket"], SystemClock())

    @cached_property
    def monitoring(self) -> S3MonitoringStore:
        return S3MonitoringStore(self.client("s3"), self.outputs["ArchiveBucket"])

    @cached_property
    def registry_store(self) -> DynamoDBRegistryStore:
        """The registry as it is stored, to be read."""
        return DynamoDBRegistryStore(self.client("dynamodb"), self.outputs["RegistryTable"])

    @cached_property
    def executions(self) -> StepFunctionsExecutions:
        return StepFunctionsExecutions(self.client("stepfunctions"))

    @cached_property
    def announcer(self) -> AwsAnnouncer:
        """Where the stage's announcements go, as the identity behind our credentials."""
        return AwsAnnouncer(
            self.client("events"), BUS, self.client("sns"), self.outputs["AnnouncementsTopic"]
        )

    @cached_property
    def drift_policies(self) -> Mapping[str, DriftPolicy]:
        """The drift policies that the stage was deployed with, by endpoint."""
        given = self.environment_of(self.function("training-set"))["QUICKSILVER_DRIFT_POLICIES"]
        return TypeAdapter(dict[str, DriftPolicy]).validate_json(given)

    def invoke(self, function: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Invoke a function with an event, as its caller on AWS would; returns what it returned.

        Raises ``NotFound`` for a function the stage does not have and ``Unavailable`` where the
        function ended with an error of its own.
        """
        payload = json.dumps(event).encode()
        response = self._lambda(
            function, lambda client: client.invoke(FunctionName=function, Payload=payload), INVOKING
        )
        content: Mapping[str, Any] = json.loads(response["Payload"].read() or b"null")
        if "FunctionError" in response:
            raise Unavailable(f"The function {function} failed: {content.get('errorMessage', content)}")
        return content

    def environment_of(self, function: str) -> dict[str, str]:
        """The environment a deployed function is given."""
        response = self._lambda(
            function,
            lambda client: client.get_function_configuration(FunctionName=function),
        )
        return dict(response["Environment"]["Variables"])

    def _lambda(self, function: str, call: Callable[[Any], Any], config: Config = STEADY) -> Any:
        try:
            return call(self.client("lambda", config))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise NotFound(f"The stage {self.stage} has no function {function}.") from None
            raise Unavailable(f"Lambda refused: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"Lambda cannot be reached: {error}") from error

    def caller(self) -> str:
        """The IAM identity behind our credentials: who a registry change is by."""
        try:
            return str(self.client("sts").get_caller_identity()["Arn"])
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"AWS does not say who we are: {error}") from error
