"""The training set function's wiring."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.archive import LATE_HOURS
from quicksilver.aws.clients import PARALLEL, client
from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.aws.s3_objects import S3ObjectStore
from quicksilver.aws.system import SystemClock
from quicksilver.bootstrap.archive_engine import archive_engine
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.ports import Clock
from quicksilver.retraining.export import TrainingSets
from quicksilver.settings import TrainingSetSettings


@dataclass(frozen=True)
class TrainingSetFunction:
    """Everything the training set handler uses."""

    documents: S3MonitoringStore
    sets: TrainingSets
    clock: Clock


def training_set_function() -> TrainingSetFunction:
    """Wire the training set function."""
    configure_logging()
    settings = TrainingSetSettings()  # every value comes from the environment
    s3 = client("s3")
    sets = TrainingSets(
        archive_engine(settings, client("s3", PARALLEL), LATE_HOURS, SystemClock()),
        S3ObjectStore(s3, settings.archive_bucket),
        settings.drift_policies,
    )
    return TrainingSetFunction(S3MonitoringStore(s3, settings.archive_bucket), sets, SystemClock())
