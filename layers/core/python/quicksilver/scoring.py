"""The hot path. It reads top to bottom like section 5 of the design, steps 1 to 6."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from quicksilver.delivery import PredictionLog
from quicksilver.features import build_vector, check_names, feature_keys
from quicksilver.ids import uuid7
from quicksilver.instants import utc_iso
from quicksilver.ports import Clock, Deadline, FeatureStore
from quicksilver.prediction import (
    PredictionRecord,
    ServedArm,
    Status,
    Timings,
)
from quicksilver.reasons import reasons_for
from quicksilver.request import parse_request
from quicksilver.serving import Serving


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
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        deadline_ms: int,
    ) -> None:
        self._stage = stage
        self._endpoint = endpoint
        self._serving = serving
        self._features = features
        self._log = log
        self._clock = clock
        self._random_bytes = random_bytes
        self._deadline_ms = deadline_ms

    def score(self, body: str | bytes | None, caller: Caller) -> PredictionRecord:
        """Score one request body and put its record in the log.

        Raises ``InvalidInput`` naming fields and reasons, or ``Unavailable`` when nothing can answer.
        """
        marks = [self._clock.monotonic_us()]
        now_ms = self._clock.now_ms()
        deadline = Deadline.after_ms(self._clock, self._deadline_ms)

        request = parse_request(body)
        self._log.check_room()
        self._mark(marks)

        loaded = self._serving.loaded_route()
        arm, model = loaded.assign(request.entity_id)
        contract = model.contract
        check_names(contract, request)
        self._mark(marks)

        keys = feature_keys(contract, request)
        reading = self._features.read(tuple(keys.values()), contract.online_names, deadline)
        self._mark(marks)

        vector = build_vector(contract, request, keys, reading, now_ms)
        self._mark(marks)

        evaluation = model.evaluator.evaluate(vector.values)
        score = model.evaluator.score(evaluation.raw_score)
        self._mark(marks)

        reasons = reasons_for(contract, evaluation.contributions)
        self._mark(marks)

        record = PredictionRecord(
            prediction_id=uuid7(now_ms, self._random_bytes(10)),
            endpoint=self._endpoint,
            entity_id=request.entity_id,
            status=Status.REFER if vector.refer else Status.SCORED,
            score=score,
            raw_score=evaluation.raw_score,
            reasons=reasons,
            model=model.name,
            package_sha256=model.package_sha256,
            fingerprint=contract.fingerprint,
            arm=ServedArm(role=arm.role, share_bp=arm.share_bp),
            route=loaded.route.number,
            feature_ages_ms=vector.ages_ms,
            degraded=vector.degraded,
            timings=_timings(marks),
            stage=self._stage,
            time=utc_iso(now_ms),
            request_id=caller.request_id,
            function_version=caller.function_version,
            vector=tuple(None if math.isnan(value) else value for value in vector.values),
            contributions=evaluation.contributions,
            expected_value=evaluation.expected_value,
            keys=dict(request.keys),
        )
        self._log.add(record.to_entry())
        return record

    def _mark(self, marks: list[int]) -> None:
        marks.append(self._clock.monotonic_us())


def _timings(marks: list[int]) -> Timings:
    validate, route, features, vector, score, reasons = (b - a for a, b in pairwise(marks))
    return Timings(
        validate_us=validate,
        route_us=route,
        features_us=features,
        vector_us=vector,
        score_us=score,
        reasons_us=reasons,
        total_us=marks[-1] - marks[0],
    )
