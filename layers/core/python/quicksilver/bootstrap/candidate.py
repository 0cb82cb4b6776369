"""The candidate function's wiring."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.aws.clients import api_client, client
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.registry_client import RegistryClient
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.aws.s3_objects import S3ObjectStore
from quicksilver.aws.system import SystemClock
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.retraining.candidate import Candidates
from quicksilver.retraining.gating import gate_candidate
from quicksilver.settings import CandidateSettings


@dataclass(frozen=True)
class CandidateFunction:
    """Everything the candidate handler uses."""

    documents: S3MonitoringStore
    candidates: Candidates


def candidate_function() -> CandidateFunction:
    """Wire the candidate function."""
    configure_logging()
    settings = CandidateSettings()  # every value comes from the environment
    s3 = client("s3")
    candidates = Candidates(
        objects=S3ObjectStore(s3, settings.archive_bucket),
        artifacts=S3ArtifactStore(s3, settings.models_bucket),
        stored=DynamoDBRegistryStore(client("dynamodb"), settings.registry_table),
        # API Gateway gives up after 29 s: nothing is to be had by waiting longer.
        registration=RegistryClient(api_client(settings.registry_api_url, seconds=30)),
        policies=settings.policies,
        gate=gate_candidate,
        clock=SystemClock(),
    )
    return CandidateFunction(S3MonitoringStore(s3, settings.archive_bucket), candidates)
