"""What the schedule runs: every endpoint's performance, then what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from quicksilver.errors import QuicksilverError, whereabouts
from quicksilver.metrics import Metric
from quicksilver.performance.run import PerformanceRun
from quicksilver.ports import Metrics

logger = logging.getLogger(__name__)


class Trigger(Protocol):
    """Decides whether what was judged asks for a new model."""

    def consider(self, endpoint: str) -> object: ...


class Announcing(Protocol):
    """Tells of what was judged and not announced yet."""

    def catch_up(self, endpoint: str) -> int: ...


@dataclass(frozen=True, slots=True)
class PerformanceSchedule:
    """Everything that happens of itself to an endpoint's labels."""

    endpoints: Sequence[str]
    performance: PerformanceRun
    trigger: Trigger
    announcements: Announcing
    metrics: Metrics

    def run(self) -> dict[str, str]:
        """Run each endpoint, have what follows decided and told; returns what came of it, in words.

        What fails for an endpoint is counted and logged, stands in the way of no other, and is tried again by the next
        run: nothing is raised.
        """
        return {endpoint: self._run(endpoint) for endpoint in self.endpoints}

    def _run(self, endpoint: str) -> str:
        said = []
        try:
            results = self.performance.run(endpoint)
        except Exception as error:
            said.append(self._failed(Metric.PERFORMANCE_RUN_FAILED, endpoint, error))
        else:
            judged = [result for result in results if result.judged]
            degraded = sum(result.degraded for result in judged)
            self.metrics.count(Metric.PERFORMANCE_RUNS)
            said.append(f"{len(results)} results, {len(judged)} judged, {degraded} degraded")
        for metric, step in (
            (Metric.RETRAIN_TRIGGER_FAILED, self.trigger.consider),
            (Metric.ANNOUNCEMENTS_FAILED, self.announcements.catch_up),
        ):
            try:
                step(endpoint)
            except Exception as error:
                said.append(self._failed(metric, endpoint, error))
        return "; ".join(said)

    def _failed(self, metric: Metric, endpoint: str, error: Exception) -> str:
        self.metrics.count(metric)
        said = str(error) if isinstance(error, QuicksilverError) else "an error nobody foresaw"
        facts: Mapping[str, object] = {"endpoint": endpoint, **whereabouts(error)}
        logger.error("%s: %s", metric.value, said, extra=facts)
        return f"failed: {said}"
