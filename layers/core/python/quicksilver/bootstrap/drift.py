"""The drift function's wiring."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.aws.announcer import AwsAnnouncer
from quicksilver.aws.clients import PARALLEL, client, within
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.aws.system import SystemClock
from quicksilver.bootstrap.archive_engine import archive_engine
from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.drift.judgement import judge
from quicksilver.drift.run import DriftRun
from quicksilver.drift.window_judge import WindowJudge
from quicksilver.monitoring_announcements import ArchivePlace, MonitoringAnnouncements
from quicksilver.reports.drift_page import judged_page
from quicksilver.retraining.trigger import Trigger
from quicksilver.settings import DriftSettings


@dataclass(frozen=True)
class DriftFunction:
    """Everything the drift handler uses."""

    drift: DriftRun
    metrics: EmfMetrics


def drift_function() -> DriftFunction:
    """Wire the drift function."""
    configure_logging()
    settings = DriftSettings()  # every value comes from the environment
    metrics, clock, limits = EmfMetrics(), SystemClock(), within(5, attempts=3)
    s3, dynamodb = client("s3", PARALLEL), client("dynamodb", limits)
    monitoring = S3MonitoringStore(s3, settings.archive_bucket)
    policies = settings.drift_policies
    judges = [
        WindowJudge(
            policy=policy,
            cutoff=settings.cutoffs[endpoint],
            engine=archive_engine(settings, s3, policy.late_hours, clock),
            rollup=DynamoDBRollupStore(dynamodb, settings.rollup_table),
            artifacts=S3ArtifactStore(s3, settings.models_bucket),
            monitoring=monitoring,
            clock=clock,
            judge=judge,
        )
        for endpoint, policy in sorted(policies.items())
    ]
    registry = DynamoDBRegistryStore(dynamodb, settings.registry_table)
    announcer = AwsAnnouncer(
        client("events", limits), settings.event_bus, client("sns", limits), settings.topic
    )
    place = ArchivePlace(settings.archive_bucket, s3.meta.region_name)
    run = DriftRun(
        judges,
        page=judged_page,
        trigger=Trigger(settings.stage, monitoring, registry, policies, clock),
        announcements=MonitoringAnnouncements(settings.stage, monitoring, announcer, policies, place, clock),
        metrics=metrics,
    )
    return DriftFunction(run, metrics)
