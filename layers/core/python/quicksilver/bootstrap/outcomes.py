"""The outcomes function's wiring."""

from __future__ import annotations

from quicksilver.aws.hot_clients import hot_client
from quicksilver.aws.s3_outcomes import S3OutcomeStore
from quicksilver.aws.system import SystemClock
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.outcomes_api import OutcomesApi
from quicksilver.settings import OutcomesSettings


def outcomes_function() -> OutcomesApi:
    """Wire the outcomes function. What hangs fails well within API Gateway's 29 s, so that a caller is told."""
    configure_logging()
    settings = OutcomesSettings()  # every value comes from the environment
    clock = SystemClock()
    store = S3OutcomeStore(hot_client("s3", 5, attempts=2), settings.archive_bucket, clock)
    return OutcomesApi(settings.endpoints, store, clock)
