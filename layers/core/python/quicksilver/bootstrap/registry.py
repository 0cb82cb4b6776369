"""The registry function's wiring."""

from __future__ import annotations

from quicksilver.aws.clients import client, within
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_contracts import S3ContractStore
from quicksilver.aws.system import SystemClock, pause
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.registry import Registry, Stores
from quicksilver.registry_api import RegistryApi
from quicksilver.settings import RegistrySettings


def registry_function() -> RegistryApi:
    """Wire the registry function. Its calls end well within API Gateway's 29 s, so that a caller is told."""
    configure_logging()
    settings = RegistrySettings()  # every value comes from the environment
    store = DynamoDBRegistryStore(client("dynamodb", within(2, attempts=3)), settings.registry_table)
    s3 = client("s3", within(5, attempts=2))
    artifacts = S3ArtifactStore(s3, settings.models_bucket)
    registry = Registry(
        Stores(store, artifacts, artifacts, S3ContractStore(s3, settings.archive_bucket)),
        signer=KmsSigner(client("kms", within(2, attempts=3)), settings.signing_key),
        policies=settings.policies,
        load=LightGBMEvaluator,
        clock=SystemClock(),
        pause=pause,
    )
    return RegistryApi(registry)
