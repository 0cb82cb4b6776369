"""The hot path. It reads top to bottom like section 5 of the design, steps 1 to 6."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quicksilver.decision import Decision, Routed, decide
from quicksilver.delivery import PredictionLog
from quicksilver.errors import LogFull
from quicksilver.features import Cause, check_names, feature_keys
from quicksilver.ids import uuid7
from quicksilver.instants import utc_iso
from quicksilver.metrics import Metric
from quicksilver.ports import Clock, Deadline, FeatureStore, Metrics, Scores
from quicksilver.prediction import PredictionRecord, ServedArm, Status, kept_answer, kept_entry
from quicksilver.request import Asked, ScoreRequest, parse_request
from quicksilver.routing import Arm
from quicksilver.serving import LoadedRoute, Serving
from quicksilver.stopwatch import Step, Stopwatch

COMPUTE_MS = 10
"""What is kept of a request's budget for what follows the last read; at most a fifth of a shorter budget."""

_AS_USUAL = Asked()


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came in: what the record keeps of it beside the decision itself."""

    request_id: str
    function_version: str


class Scorer:
    """Scores requests for one endpoint. Everything it touches is passed in."""

    def __init__(
        self,
        *,
        stage: str,
        endpoint: str,
        serving: Serving,
        features: FeatureStore,
        log: PredictionLog,
        metrics: Metrics,
        scores: Scores,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        deadline_ms: int,
        batch_deadline_ms: int,
    ) -> None:
        """``deadline_ms`` is the budget of a request whose caller asks for no shorter one; a batch has one of its own."""
        self.stage = stage
        self.endpoint = endpoint
        self.serving = serving
        self.features = features
        self.log = log
        self.metrics = metrics
        self.scores = scores
        self.clock = clock
        self._random_bytes = random_bytes
        self._deadline_ms = deadline_ms
        self._batch_deadline_ms = batch_deadline_ms

    def score(
        self,
        body: str | bytes | None,
        caller: Caller,
        asked: Asked = _AS_USUAL,
        deadline: Deadline | None = None,
    ) -> PredictionRecord:
        """Score one request body and put its record in the log. A ``deadline`` is given where it runs already.

        Raises ``InvalidInput`` naming fields and reasons, or ``Unavailable`` when nothing can answer.
        """
        watch = Stopwatch(self.clock)
        now_ms = self.clock.now_ms()
        deadline = deadline or self.deadline(asked)

        request = parse_request(body)
        self.log.check_room()
        watch.mark(Step.VALIDATE)

        routed = route(self.serving.loaded_route(deadline), request)
        watch.mark(Step.ROUTE)

        reading = self.features.read(routed.rows, routed.names, deadline)
        watch.mark(Step.FEATURES)

        decision = decide(routed, reading, now_ms, asked.reasons, watch, self.metrics)
        watch.mark(Step.REASONS)

        record = self.record(routed, decision, now_ms, watch, caller)
        if self.take([record]):
            raise LogFull("Neither the stream nor the store takes the record of this decision.")
        return record

    def repeat(self, kept: str) -> str:
        """The answer of a decision that was made before, as it was kept; its record is delivered again.

        Raises ``LogFull`` where that cannot be taken.
        """
        if self.log.add_again([kept_entry(kept)]):
            raise LogFull("Neither the stream nor the store takes the record of this decision.")
        return kept_answer(kept)

    def deadline(self, asked: Asked, *, for_batch: bool = False) -> Deadline:
        """By when the dependencies of a request must have answered: its budget, less what computing takes."""
        most_ms = self._batch_deadline_ms if for_batch else self._deadline_ms
        budget_ms = min(most_ms, asked.deadline_ms or most_ms)
        return Deadline.after_ms(self.clock, budget_ms - min(COMPUTE_MS, budget_ms // 5))

    def take(self, records: Sequence[PredictionRecord]) -> frozenset[str]:
        """Log and count answers; returns the prediction ids of those that may not be given."""
        lost = frozenset(
            entry.prediction_id for entry in self.log.add([record.to_entry() for record in records])
        )
        given = [record for record in records if record.prediction_id not in lost]
        for metric, value in (
            (Metric.REQUESTS_SCORED, len(given)),
            (Metric.REQUESTS_DEGRADED, sum(bool(record.degraded) for record in given)),
            (Metric.REQUESTS_STALE, sum(_stale(record) for record in given if record.degraded)),
            (Metric.REQUESTS_FALLBACK, sum(record.status is Status.FALLBACK for record in given)),
        ):
            if value:
                self.metrics.count(metric, value)
        for record in given:
            if record.raw_score is not None:  # what the contract declares is nobody's score
                self.scores.add(record.score)
        return lost

    def record(
        self, routed: Routed, decision: Decision, now_ms: int, watch: Stopwatch, caller: Caller
    ) -> PredictionRecord:
        """The record of a decision: what is answered, and what proves it later."""
        explained, vector = decision.explained, decision.vector
        return PredictionRecord(
            prediction_id=uuid7(now_ms, self._random_bytes(10)),
            endpoint=self.endpoint,
            entity_id=routed.request.entity_id,
            status=decision.status,
            score=decision.score,
            raw_score=decision.raw_score,
            reasons=decision.reasons,
            explained_by=explained.explained_by if explained else None,
            model=decision.model.name,
            package_sha256=decision.model.package_sha256,
            fingerprint=decision.model.contract.fingerprint,
            arm=ServedArm(
                model=routed.arm.model,
                role=routed.arm.role,
                share_bp=routed.arm.share_bp,
                holdout=routed.held_out,
            ),
            route=routed.loaded.route.number,
            feature_ages_ms=vector.ages_ms,
            degraded=decision.degraded,
            timings=watch.timings(),
            stage=self.stage,
            time=utc_iso(now_ms),
            request_id=caller.request_id,
            function_version=caller.function_version,
            vector=tuple(None if math.isnan(value) else value for value in vector.values),
            contributions=explained.contributions if explained else None,
            expected_value=explained.expected_value if explained else None,
            keys=routed.request.keys,
        )


def _stale(record: PredictionRecord) -> bool:
    return any(item.cause is Cause.STALE for item in record.degraded)


def route(loaded: LoadedRoute, request: ScoreRequest) -> Routed:
    """Assign a request to an arm. Raises ``InvalidRequest`` naming what the champion's contract does not know."""
    arm, held_out = loaded.route.assignment(request.entity_id)
    return routed_to(loaded, request, arm, held_out=held_out)


def routed_to(loaded: LoadedRoute, request: ScoreRequest, arm: Arm, *, held_out: bool = False) -> Routed:
    """The request as this arm's, which is one of the loaded route's that answer. Raises as ``route`` does."""
    model = loaded.models[arm.package_sha256]
    champion = loaded.champion
    check_names(champion.contract, request)
    keys = feature_keys(model.contract, request)
    rows, names = tuple(keys.values()), model.contract.online_names
    if model.contract.fingerprint != champion.contract.fingerprint:
        # The champion answers for an arm that cannot, from what is read now.
        rows = tuple(dict.fromkeys((*rows, *feature_keys(champion.contract, request).values())))
        names = tuple(dict.fromkeys((*names, *champion.contract.online_names)))
    return Routed(request, loaded, arm, held_out, model, keys, rows, names)
