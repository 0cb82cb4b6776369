"""Counts as CloudWatch takes them out of logs."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit, single_metric

from quicksilver.metrics import Metric


class EmfMetrics:
    """Counts as CloudWatch embedded metrics, one line a flush, with the endpoint as dimension, and one for each arm counted.

    Requests and the work after them count from two threads, and Powertools' set of metrics is made for one.
    """

    def __init__(self, endpoint: str = "", function_version: str = "") -> None:
        self._lock = threading.Lock()
        # Of this object alone: Powertools' `Metrics` shares its dimensions with every other in the process.
        self._metrics = EphemeralMetrics()
        self._endpoint = endpoint
        self._function_version = function_version
        self._arms: dict[tuple[str, str], dict[Metric, int]] = {}
        if endpoint:
            self._metrics.set_default_dimensions(endpoint=endpoint)

    def count(self, name: Metric, value: int = 1) -> None:
        with self._lock:
            if name is Metric.REQUESTS_UNANSWERED:
                # A line of its own: a dimension belongs to every metric of its line, and the others by
                # function version would be as many series again with every release.
                with single_metric(name=name, unit=MetricUnit.Count, value=value) as metric:
                    metric.add_dimension("endpoint", self._endpoint)
                    metric.add_dimension("function_version", self._function_version)
            else:
                unit = MetricUnit.Milliseconds if name is Metric.PREDICTION_LOG_DELAY else MetricUnit.Count
                self._metrics.add_metric(name=name, unit=unit, value=value)

    def count_arm(self, endpoint: str, arm: str, counts: Mapping[Metric, int]) -> None:
        with self._lock:
            counted = self._arms.setdefault((endpoint, arm), {})
            for name, value in counts.items():
                counted[name] = counted.get(name, 0) + value

    def flush(self) -> None:
        with self._lock:
            for (endpoint, arm), counts in self._arms.items():
                line = EphemeralMetrics()
                line.add_dimension("endpoint", endpoint)
                line.add_dimension("arm", arm)
                for name, value in counts.items():
                    line.add_metric(name=name, unit=MetricUnit.Count, value=value)
                line.flush_metrics()
            self._arms = {}
            # A run that counted nothing has nothing to say; Powertools would warn of an empty set.
            if self._metrics.metric_set:
                self._metrics.flush_metrics()
