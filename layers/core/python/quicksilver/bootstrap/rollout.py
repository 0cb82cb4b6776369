"""The rollout function's wiring."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.announcements import Announcements
from quicksilver.aws.announcer import AwsAnnouncer
from quicksilver.aws.clients import api_client, client, within
from quicksilver.aws.dynamodb_announcement_cursor import DynamoDBAnnouncementCursor
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
from quicksilver.aws.registry_client import RegistryClient
from quicksilver.aws.system import SystemClock
from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.rollout.run import RolloutRun
from quicksilver.settings import RolloutSettings


@dataclass(frozen=True)
class RolloutFunction:
    """Everything the rollout handler uses."""

    rollouts: RolloutRun
    metrics: EmfMetrics


def rollout_function() -> RolloutFunction:
    """Wire the rollout function. With everything hanging, a run of two endpoints ends within a minute."""
    configure_logging()
    settings = RolloutSettings()  # every value comes from the environment
    metrics = EmfMetrics()
    limits = within(2, attempts=3)
    dynamodb = client("dynamodb", limits)
    registry = DynamoDBRegistryStore(dynamodb, settings.registry_table)
    announcements = Announcements(
        settings.stage,
        registry,
        DynamoDBAnnouncementCursor(dynamodb, settings.announcements_table),
        AwsAnnouncer(client("events", limits), settings.event_bus, client("sns", limits), settings.topic),
    )
    rollouts = RolloutRun(
        settings.endpoints,
        registry=registry,
        rollup=DynamoDBRollupStore(dynamodb, settings.rollup_table),
        decisions=RegistryClient(api_client(settings.registry_api_url, seconds=10)),
        announcements=announcements,
        clock=SystemClock(),
        metrics=metrics,
    )
    return RolloutFunction(rollouts, metrics)
