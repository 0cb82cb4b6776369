"""Brings a model and feature rows into the stub by the product's own registry and stores, as a deployment would.

Whatever layout the registry gives its items, the function under the bench finds it: both are the product's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import boto3

from bench.model import ENDPOINT, BenchModel
from bench.stub_aws import StubAws
from bench.traffic import feature_rows
from quicksilver.aws.dynamodb_features import DynamoDBFeatureStore
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.system import SystemClock, pause
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import Check, Gate, GateReport, Outcome
from quicksilver.memory import MemoryContractStore, MemoryMetrics
from quicksilver.registry import Registry, Stores
from quicksilver.routing import sole_champion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quicksilver.evaluator import Evaluator

FEATURES_TABLE = "features"
STREAM = "predictions"
REGISTRY_TABLE = "registry"
BUCKET, ARCHIVE = "models", "archive"
_KEY = "arn:aws:kms:us-east-1:000000000000:key/bench"
_AUTHOR, _APPROVER = "arn:aws:iam::000000000000:user/ada", "arn:aws:iam::000000000000:user/grace"

FUNCTION_ENVIRONMENT = {
    "QUICKSILVER_STAGE": "bench",
    "QUICKSILVER_ENDPOINT": ENDPOINT,
    "QUICKSILVER_FEATURES_TABLE": FEATURES_TABLE,
    "QUICKSILVER_REGISTRY_TABLE": REGISTRY_TABLE,
    "QUICKSILVER_PREDICTIONS_STREAM": STREAM,
    "QUICKSILVER_MODELS_BUCKET": BUCKET,
    "QUICKSILVER_ARCHIVE_BUCKET": ARCHIVE,
    "QUICKSILVER_SIGNING_KEY": _KEY,
    "POWERTOOLS_SERVICE_NAME": f"score-{ENDPOINT}",
    "POWERTOOLS_METRICS_NAMESPACE": "Quicksilver",
}
"""What the stacks would write for the score function of the bench's endpoint."""


class Address(Protocol):
    """Where the stub is, whoever runs it."""

    @property
    def url(self) -> str: ...


def stock(aws: Address, model: BenchModel) -> None:
    """Make the model the endpoint's champion and write its feature rows."""
    policy = Policy(endpoint=ENDPOINT, version=1, cutoff=0.5)
    registry = registry_on(aws, {ENDPOINT: policy})
    artifact_store(aws).put(model.package.sha256, model.package.files)
    name = registry.register(ENDPOINT, model.package.sha256, who=_AUTHOR).name
    registry.add_evidence(name, _passed(model, policy), who=_AUTHOR)
    approved = registry.approve(name, reason="The bench needs it.", who=_APPROVER)
    registry.set_route(ENDPOINT, [sole_champion(approved)], reason="The bench needs it.", who=_APPROVER)
    feature_store(aws).write(feature_rows(model, SystemClock().now_ms()))


def registry_on(
    aws: Address, policies: Mapping[str, Policy], load: Callable[[bytes], Evaluator] = LightGBMEvaluator
) -> Registry:
    artifacts = artifact_store(aws)
    return Registry(
        Stores(
            DynamoDBRegistryStore(client(aws, "dynamodb"), REGISTRY_TABLE),
            artifacts,
            artifacts,
            MemoryContractStore(),
        ),
        signer=KmsSigner(client(aws, "kms"), _KEY),
        policies=policies,
        load=load,
        clock=SystemClock(),
        pause=pause,
    )


def artifact_store(aws: Address) -> S3ArtifactStore:
    return S3ArtifactStore(client(aws, "s3"), BUCKET)


def feature_store(aws: Address) -> DynamoDBFeatureStore:
    return DynamoDBFeatureStore(
        client(aws, "dynamodb"), FEATURES_TABLE, attempt_seconds=1, pause=pause, metrics=MemoryMetrics()
    )


def function_environment(aws: StubAws) -> Mapping[str, str]:
    return {**aws.environment, **FUNCTION_ENVIRONMENT}


def client(aws: Address, service: str) -> Any:
    """A client of the stub, for whoever prepares a bench."""
    return boto3.client(
        service,
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",  # noqa: S106 - the stub checks none
    )


def _passed(model: BenchModel, policy: Policy) -> GateReport:
    check = Check(gate=Gate.PERFORMANCE, name="auc", outcome=Outcome.PASS, sentence="auc passes.")
    return GateReport(
        endpoint=ENDPOINT,
        package_sha256=model.package.sha256,
        fingerprint=model.contract.fingerprint,
        champion=None,
        champion_sha256=None,
        data_sha256="0" * 64,
        rows=1_000,
        policy_version=policy.version,
        policy_sha256=policy.sha256,
        created_at="2026-11-23T00:00:00.000Z",
        checks=(check,),
    )
