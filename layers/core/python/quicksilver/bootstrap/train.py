"""The train function's wiring."""

from __future__ import annotations

import os
from dataclasses import dataclass

from quicksilver.aws.clients import client
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.aws.s3_objects import S3ObjectStore
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.retraining.training_run import TrainingRun
from quicksilver.settings import TrainSettings


@dataclass(frozen=True)
class TrainFunction:
    """Everything the train handler uses."""

    documents: S3MonitoringStore
    training: TrainingRun


def train_function() -> TrainFunction:
    """Wire the train function."""
    configure_logging()
    settings = TrainSettings()  # every value comes from the environment
    s3 = client("s3")
    training = TrainingRun(
        S3ObjectStore(s3, settings.archive_bucket),
        DynamoDBRegistryStore(client("dynamodb"), settings.registry_table),
        S3ArtifactStore(s3, settings.models_bucket),
        # Lambda gives a processor for each 1,769 MiB. A thread more than there are waits for the others by spinning.
        threads=os.cpu_count() or 1,
    )
    return TrainFunction(S3MonitoringStore(s3, settings.archive_bucket), training)
