"""The performance function's wiring."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.aws.announcer import AwsAnnouncer
from quicksilver.aws.clients import PARALLEL, client, within
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.aws.system import SystemClock
from quicksilver.bootstrap.archive_engine import archive_engine
from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.monitoring_announcements import ArchivePlace, MonitoringAnnouncements
from quicksilver.performance.reference import ReferenceAuc
from quicksilver.performance.run import PerformanceRun
from quicksilver.performance.schedule import PerformanceSchedule
from quicksilver.retraining.trigger import Trigger
from quicksilver.settings import PerformanceSettings


@dataclass(frozen=True)
class PerformanceFunction:
    """Everything the performance handler uses."""

    schedule: PerformanceSchedule
    metrics: EmfMetrics


def performance_function() -> PerformanceFunction:
    """Wire the performance function. What hangs fails within seconds, and the next run begins anew."""
    configure_logging()
    settings = PerformanceSettings()  # every value comes from the environment
    clock, metrics, limits = SystemClock(), EmfMetrics(), within(5, attempts=3)
    policies, s3 = settings.drift_policies, client("s3", PARALLEL)
    store = S3MonitoringStore(s3, settings.archive_bucket)
    registry = DynamoDBRegistryStore(client("dynamodb", limits), settings.registry_table)
    announcer = AwsAnnouncer(
        client("events", limits), settings.event_bus, client("sns", limits), settings.topic
    )
    performance = PerformanceRun(
        policies=policies,
        cutoffs=settings.cutoffs,
        engine=archive_engine(settings, s3, max(policy.late_hours for policy in policies.values()), clock),
        store=store,
        reference_auc=ReferenceAuc(registry, S3ArtifactStore(s3, settings.models_bucket)),
        clock=clock,
    )
    schedule = PerformanceSchedule(
        tuple(policies),
        performance,
        Trigger(settings.stage, store, registry, policies, clock),
        MonitoringAnnouncements(
            settings.stage,
            store,
            announcer,
            policies,
            ArchivePlace(settings.archive_bucket, s3.meta.region_name),
            clock,
        ),
        metrics,
    )
    return PerformanceFunction(schedule, metrics)
