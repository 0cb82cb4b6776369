"""What a schedule does for every endpoint: what fails for one is counted, logged and said, and stands in no other's way.

Nothing is raised, for a function that fails is run again at once, and here the next run is the retry.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from quicksilver.errors import QuicksilverError, whereabouts
from quicksilver.metrics import Metric
from quicksilver.ports import Metrics

logger = logging.getLogger(__name__)


class Trigger(Protocol):
    """Decides whether what was judged asks for a new model."""

    def consider(self, endpoint: str) -> object: ...


class Announcing(Protocol):
    """Tells of what was judged and not announced yet."""

    def catch_up(self, endpoint: str) -> int: ...


def followed_up(endpoint: str, trigger: Trigger, announcements: Announcing, metrics: Metrics) -> list[str]:
    """Have what follows from an endpoint's judged windows decided, and then told; returns what failed, in words."""
    failures = []
    for metric, step in (
        (Metric.RETRAIN_TRIGGER_FAILED, trigger.consider),
        (Metric.ANNOUNCEMENTS_FAILED, announcements.catch_up),
    ):
        try:
            step(endpoint)
        except Exception as error:
            failures.append(failed(metric, endpoint, error, metrics))
    return failures


def failed(metric: Metric, endpoint: str, error: Exception, metrics: Metrics) -> str:
    """Count a failure and log it, without what was being worked on; returns it in words."""
    metrics.count(metric)
    said = str(error) if isinstance(error, QuicksilverError) else "an error nobody foresaw"
    facts: Mapping[str, object] = {"endpoint": endpoint, **whereabouts(error)}
    logger.error("%s: %s", metric.value, said, extra=facts)
    return f"failed: {said}"
