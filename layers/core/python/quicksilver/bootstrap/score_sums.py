"""Sums of the scores that a function version gives, as CloudWatch takes them out of logs.

Two function versions share an endpoint's traffic at random while a release is under way, so their mean scores are the same but for
chance. What chance allows follows from how many scores there are, their sum and the sum of their squares; that is all that
is written, once in a while, for the endpoint and for the function version.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from quicksilver.metrics import NAMESPACE, Metric
from quicksilver.ports import Clock

EVERY_MS = 10_000
"""An environment that answers ten requests a second writes one line for a hundred of them."""


class ScoreSums:
    """Adds up scores from one thread, and writes them from another."""

    def __init__(
        self,
        service: str,
        endpoint: str,
        function_version: str,
        clock: Clock,
        write: Callable[[str], object] = print,
    ) -> None:
        self._facts = {"service": service, "endpoint": endpoint, "function_version": function_version}
        self._clock = clock
        self._write = write
        self._lock = threading.Lock()
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._written_us = clock.monotonic_us() - EVERY_MS * 1_000

    def add(self, score: float) -> None:
        with self._lock:
            self._count += 1
            self._sum += score
            self._squares += score * score

    def flush_if_due(self) -> None:
        """Write what there is, where the last line is long enough ago; also if the clock is another since, as after a
        restore from a snapshot."""
        if not 0 <= self._clock.monotonic_us() - self._written_us < EVERY_MS * 1_000:
            self.flush()

    def flush(self) -> None:
        with self._lock:
            values = {
                Metric.SCORES_SUMMED: self._count,
                Metric.SCORE_SUM: self._sum,
                Metric.SCORE_SQUARES: self._squares,
            }
            self._count, self._sum, self._squares = 0, 0.0, 0.0
        if not values[Metric.SCORES_SUMMED]:
            return
        self._written_us = self._clock.monotonic_us()
        ours = ["service", "endpoint"]
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [ours, [*ours, "function_version"]],
            "Metrics": [{"Name": name} for name in values],
        }
        head = {"Timestamp": self._clock.now_ms(), "CloudWatchMetrics": [directive]}
        self._write(json.dumps({"_aws": head, **self._facts, **values}))
