"""One batch of the prediction stream: each record scored by each shadow of its endpoint's route, and kept.

A batch is kept as one object whose name follows from its place in the stream, so a batch that Kinesis brings again
replaces what it left. What can be retried is raised; what cannot is counted, and the rest of the batch goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quicksilver.errors import InvalidInput, Unavailable
from quicksilver.metrics import Metric
from quicksilver.ports import Clock, Metrics, RegistryStore, ShadowScoreStore
from quicksilver.routing import Arm
from quicksilver.shadow.scoring import ScoredVector, ShadowScorer
from quicksilver.shadow_score import ShadowScore
from quicksilver.stream_event import StreamBatch

logger = logging.getLogger(__name__)

ROUTE_AGE_MS = 10_000
"""From what age on a route is read again."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How many records a batch had, what became of them, and how many scores they got or did not get.

    ``unreadable`` are no prediction records; ``skipped`` have shadows and no vector, or an endpoint whose route
    cannot be read while others' can.
    """

    records: int = 0
    unreadable: int = 0
    skipped: int = 0
    scored: int = 0
    failed: int = 0


class ShadowBatches:
    """Scores batches for every endpoint of a stage."""

    def __init__(
        self,
        scorer: ShadowScorer,
        *,
        registry: RegistryStore,
        store: ShadowScoreStore,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._scorer = scorer
        self._registry = registry
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._shadows: dict[str, tuple[Arm, ...]] = {}
        self._due_ms: dict[str, int] = {}

    def score(self, batch: StreamBatch) -> BatchResult:
        """Score and keep a batch. Raises ``Unavailable`` where a store did not answer; nothing is lost by a retry."""
        records, unreadable = _read(batch)
        shadows = self._routes({record.endpoint for record in records})
        scores: list[ShadowScore] = []
        skipped = 0
        for record in records:
            arms = shadows.get(record.endpoint)
            if arms is None or (arms and not record.vector):
                skipped += 1
                continue
            scores += [self._scorer.score(record, arm) for arm in arms]
        if scores:
            lines = "".join(f"{score.model_dump_json()}\n" for score in scores)
            self._store.keep(batch.name, batch.arrived_ms, lines.encode())
        failed = sum(score.error is not None for score in scores)
        result = BatchResult(len(batch.records), unreadable, skipped, len(scores) - failed, failed)
        self._count(result)
        return result

    def _routes(self, endpoints: set[str]) -> Mapping[str, Sequence[Arm]]:
        """The shadows of each endpoint, none for one whose route cannot be read.

        Raises ``Unavailable`` where no endpoint's can: then it is the registry, and the batch waits for it.
        """
        failures: list[Unavailable] = []
        for endpoint in sorted(endpoints):
            try:
                self._refresh(endpoint)
            except Unavailable as error:
                failures.append(error)
                self._metrics.count(Metric.ROUTE_REFRESH_FAILED)
                logger.error("route refresh failed: %s", error, extra={"endpoint": endpoint})
        known = {endpoint: self._shadows[endpoint] for endpoint in endpoints if endpoint in self._shadows}
        if failures and not known:
            raise failures[0]
        self._scorer.keep({arm for arms in self._shadows.values() for arm in arms})
        return known

    def _refresh(self, endpoint: str) -> None:
        now = self._clock.now_ms()
        if now < self._due_ms.get(endpoint, 0):
            return
        if endpoint in self._shadows:
            self._due_ms[endpoint] = now + ROUTE_AGE_MS  # the last good route goes on if this read fails
        route = self._registry.current_route(endpoint)
        self._shadows[endpoint] = route.shadows if route else ()
        self._due_ms[endpoint] = now + ROUTE_AGE_MS

    def _count(self, result: BatchResult) -> None:
        for metric, value in (
            (Metric.SHADOW_RECORDS_UNREADABLE, result.unreadable),
            (Metric.SHADOW_RECORDS_SKIPPED, result.skipped),
            (Metric.SHADOWS_SCORED, result.scored),
            (Metric.SHADOWS_NOT_SCORED, result.failed),
        ):
            if value:
                self._metrics.count(metric, value)


def _read(batch: StreamBatch) -> tuple[list[ScoredVector], int]:
    records: list[ScoredVector] = []
    for record in batch.records:
        try:
            records.append(ScoredVector.from_json(record.data))
        except InvalidInput as error:
            fields = [str(field) for field in error.fields]
            logger.error("record skipped: %s", error, extra={"at": record.sequence_number, "fields": fields})
    return records, len(batch.records) - len(records)
