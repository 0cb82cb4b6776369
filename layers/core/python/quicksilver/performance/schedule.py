"""What the schedule runs: every endpoint's performance, then what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quicksilver.metrics import Metric
from quicksilver.performance.run import PerformanceRun
from quicksilver.ports import Metrics
from quicksilver.scheduled import Announcing, Trigger, failed, followed_up


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
            said.append(failed(Metric.PERFORMANCE_RUN_FAILED, endpoint, error, self.metrics))
        else:
            judged = [result for result in results if result.judged]
            degraded = sum(result.degraded for result in judged)
            self.metrics.count(Metric.PERFORMANCE_RUNS)
            said.append(f"{len(results)} results, {len(judged)} judged, {degraded} degraded")
        said += followed_up(endpoint, self.trigger, self.announcements, self.metrics)
        return "; ".join(said)
