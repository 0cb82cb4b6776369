"""The redeliver function's wiring."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.aws.clients import client
from quicksilver.aws.kinesis_predictions import KinesisPredictionStream
from quicksilver.aws.s3_undelivered import S3UndeliveredStore
from quicksilver.aws.system import pause
from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.settings import RedeliverSettings


@dataclass(frozen=True)
class RedeliverFunction:
    """Everything the redeliver handler uses."""

    stream: KinesisPredictionStream
    undelivered: S3UndeliveredStore
    metrics: EmfMetrics


def redeliver_function() -> RedeliverFunction:
    configure_logging()
    settings = RedeliverSettings()  # every value comes from the environment
    return RedeliverFunction(
        KinesisPredictionStream(client("kinesis"), settings.predictions_stream, pause),
        S3UndeliveredStore(client("s3"), settings.archive_bucket),
        EmfMetrics(),
    )
