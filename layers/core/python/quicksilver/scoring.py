"""The hot path. It reads top to bottom like section 5 of the design, steps 1 to 6."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from quicksilver.decision import Decision, Routed, decide
from quicksilver.delivery import PredictionLog
from quicksilver.features import check_names, feature_keys
from quicksilver.ids import uuid7
from quicksilver.instants import utc_iso
from quicksilver.metrics import Metric
from quicksilver.ports import Clock, Deadline, FeatureStore, Metrics
from quicksilver.prediction import PredictionRecord, ServedArm, Status
from quicksilver.request import Asked, ScoreRequest, parse_request
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
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        deadline_ms: int,
    ) -> None:
        """``deadline_ms`` is the budget of a request whose caller asks for no shorter one."""
        self.stage = stage
        self.endpoint = endpoint
        self.serving = serving
        self.features = features
        self.log = log
        self.metrics = metrics
        self.clock = clock
        self._random_bytes = random_bytes
        self._deadline_ms = deadline_ms

    def score(self, body: str | bytes | None, caller: Caller, asked: Asked = _AS_USUAL) -> PredictionRecord:
        """Score one request body and put its record in the log.

        Raises ``InvalidInput`` naming fields and reasons, or ``Unavailable`` when nothing can answer.
        """
        watch = Stopwatch(self.clock)
        now_ms = self.clock.now_ms()
        deadline = self.deadline(asked)

        request = parse_request(body)
        self.log.check_room()
        watch.mark(Step.VALIDATE)

        routed = route(self.serving.loaded_route(deadline), request)
        watch.mark(Step.ROUTE)

        reading = self.features.read(
            tuple(routed.keys.values()), routed.model.contract.online_names, deadline
        )
        watch.mark(Step.FEATURES)

        decision = decide(routed, reading, now_ms, asked.reasons, watch, self.metrics)
        watch.mark(Step.REASONS)

        record = self.record(request, decision, now_ms, watch, caller, routed.loaded.route.number)
        self.log.add(record.to_entry())
        self.count(record)
        return record

    def deadline(self, asked: Asked) -> Deadline:
        """By when the dependencies of a request must have answered: its budget, less what computing takes."""
        budget_ms = min(self._deadline_ms, asked.deadline_ms or self._deadline_ms)
        return Deadline.after_ms(self.clock, budget_ms - min(COMPUTE_MS, budget_ms // 5))

    def record(
        self,
        request: ScoreRequest,
        decision: Decision,
        now_ms: int,
        watch: Stopwatch,
        caller: Caller,
        route_number: int,
    ) -> PredictionRecord:
        """The record of a decision: what is answered, and what proves it later."""
        explained, vector = decision.explained, decision.vector
        return PredictionRecord(
            prediction_id=uuid7(now_ms, self._random_bytes(10)),
            endpoint=self.endpoint,
            entity_id=request.entity_id,
            status=decision.status,
            score=decision.score,
            raw_score=decision.raw_score,
            reasons=decision.reasons,
            explained_by=explained.explained_by if explained else None,
            model=decision.model.name,
            package_sha256=decision.model.package_sha256,
            fingerprint=decision.model.contract.fingerprint,
            arm=ServedArm(role=decision.arm.role, share_bp=decision.arm.share_bp),
            route=route_number,
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
            keys=request.keys,
        )

    def count(self, record: PredictionRecord) -> None:
        """Count one answer."""
        self.metrics.count(Metric.REQUESTS_SCORED)
        if record.degraded:
            self.metrics.count(Metric.REQUESTS_DEGRADED)
        if record.status is Status.FALLBACK:
            self.metrics.count(Metric.REQUESTS_FALLBACK)


def route(loaded: LoadedRoute, request: ScoreRequest) -> Routed:
    """Assign a request to an arm. Raises ``InvalidRequest`` naming what the arm's contract does not know."""
    arm, model = loaded.assign(request.entity_id)
    check_names(model.contract, request)
    return Routed(request, loaded, arm, model, feature_keys(model.contract, request))
