"""A function version's answer to a check: by the very evaluators that answer requests, and recorded nowhere.

A check leaves no prediction record, holds no idempotency key and is counted by no metric of requests. What it shows is the
function version that was invoked; who compares is not this function (``judgement.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from quicksilver.code_release.check import (
    Check,
    Checked,
    GoldenAnswer,
    GoldenCheck,
    GoldenNumbers,
    Presence,
    Rehearsal,
    RehearsalAnswer,
    bits,
    number,
    packed,
    parse_check,
)
from quicksilver.decision import decide
from quicksilver.edge import asked_of, refusal
from quicksilver.errors import ModelNotLoadable, NoModel, NotEvaluated, Unavailable, whereabouts
from quicksilver.fallback import DegradedModel, ModelCause
from quicksilver.features import Cause, Degraded
from quicksilver.metrics import Metric
from quicksilver.model_loader import LoadedModel
from quicksilver.prediction import PredictionRecord
from quicksilver.request import Asked, body_of, parse_request
from quicksilver.routing import Arm
from quicksilver.scoring import Caller, Scorer, routed_to
from quicksilver.serving import LoadedRoute
from quicksilver.stopwatch import Step, Stopwatch

logger = logging.getLogger(__name__)

_LATE = {Cause.LATE, ModelCause.FEATURES_LATE}


class _Uncounted:
    """A check is no request."""

    def count(self, name: Metric, value: int = 1) -> None:
        """Counted nowhere."""


class CheckedFunction:
    """Answers checks for the endpoint of a scorer.

    ``load`` brings an arm that answers nobody here; it is let go when the check is answered.
    """

    def __init__(self, scorer: Scorer, load: Callable[[Arm], LoadedModel]) -> None:
        self._scorer = scorer
        self._load = load

    def answer(self, content: Any, *, function_version: str) -> dict[str, Any]:
        """The answer as JSON data, which is no ``Checked`` for a check that is not known here or has failed. Never raises:
        Lambda would log the error with what it quotes."""
        try:
            return self._checked(parse_check(content), function_version).model_dump(mode="json")
        except ValidationError as error:
            places = [".".join(map(str, item["loc"])) for item in error.errors(include_input=False)]
            return {"unknown": places[:20]}
        except Exception as error:
            logger.error("a check failed", extra=whereabouts(error))
            return {"failed": type(error).__name__}

    def _checked(self, check: Check, function_version: str) -> Checked:
        try:
            loaded = self._scorer.serving.loaded_route(self._scorer.deadline(Asked()))
        except NoModel:
            return Checked(function_version=function_version, route=0)
        state = Checked(
            function_version=function_version,
            route=loaded.route.number,
            notes=tuple(f"{note.model} {note.cause.value}" for note in loaded.notes),
        )
        if isinstance(check, Presence) or check.route != state.route or state.notes:
            return state
        if isinstance(check, GoldenCheck):
            return state.model_copy(update={"golden": self._golden(loaded, check)})
        return state.model_copy(update={"rehearsal": self._rehearsed(loaded, check, function_version)})

    def _golden(self, loaded: LoadedRoute, check: GoldenCheck) -> GoldenAnswer:
        try:
            model = loaded.models.get(check.arm.package_sha256) or self._load(check.arm)
        except ModelNotLoadable as error:
            return GoldenAnswer(error=str(error))
        return GoldenAnswer(rows=tuple(_numbers(model, map(number, vector)) for vector in check.vectors))

    def _rehearsed(self, loaded: LoadedRoute, check: Rehearsal, function_version: str) -> RehearsalAnswer:
        try:
            record = self._record(loaded, check.arm, check.event, function_version)
        except Exception as error:  # as the edge answers it: a refusal is an answer, and must be the same one
            status, detail, fields = refusal(error)
            said = {"refused": str(int(status)), "detail": detail, "fields": "; ".join(map(str, fields))}
            return RehearsalAnswer(said=said, unsettled=isinstance(error, Unavailable))
        return _taken_apart(record, loaded)

    def _record(
        self, loaded: LoadedRoute, arm: Arm, event: Mapping[str, Any], function_version: str
    ) -> PredictionRecord:
        """What ``Scorer.score`` does, for an arm that is given, without what it leaves behind."""
        scorer = self._scorer
        asked = asked_of(event)
        watch, now_ms, deadline = Stopwatch(scorer.clock), scorer.clock.now_ms(), scorer.deadline(asked)
        request = parse_request(body_of(event))
        routed = routed_to(loaded, request, arm)
        reading = scorer.features.read(routed.rows, routed.names, deadline)
        decision = decide(routed, reading, now_ms, asked.reasons, watch, _Uncounted())
        watch.mark(Step.REASONS)
        return scorer.record(routed, decision, now_ms, watch, Caller("check", function_version))


def _numbers(model: LoadedModel, vector: Any) -> GoldenNumbers | str:
    try:
        evaluation = model.evaluator.evaluate(tuple(vector))
    except (NotEvaluated, ValueError) as error:
        return (
            f"cannot be evaluated: {error}" if isinstance(error, NotEvaluated) else "does not fit the model"
        )
    return GoldenNumbers(
        raw_score=bits(evaluation.raw_score),
        score=bits(model.evaluator.score(evaluation.raw_score)),
        contributions=packed((*evaluation.contributions, evaluation.expected_value)),
        explained_by=evaluation.explained_by,
    )


def _taken_apart(record: PredictionRecord, loaded: LoadedRoute) -> RehearsalAnswer:
    """All of a record but what no two answers share: its id, its moment, ages and timings."""
    model = next(
        (m for m in (*loaded.models.values(), loaded.last_good) if m and m.name == record.model),
        loaded.champion,
    )
    names = model.contract.names
    numbers = {"score": record.score, "raw_score": record.raw_score, "expected_value": record.expected_value}
    numbers |= {f"contribution of {n}": v for n, v in zip(names, record.contributions or (), strict=False)}
    numbers |= {f"reason {reason.code}": reason.contribution for reason in record.reasons}
    return RehearsalAnswer(
        said={
            "status": record.status.value,
            "model": record.model,
            "package_sha256": record.package_sha256,
            "fingerprint": record.fingerprint,
            "arm": f"{record.arm.model} {record.arm.role.value}",
            "explained_by": record.explained_by.value if record.explained_by else "",
            "reasons": "; ".join(
                f"{reason.code} {reason.feature} {reason.text}" for reason in record.reasons
            ),
            "degraded": "; ".join(sorted(map(_named, record.degraded))),
        },
        numbers={name: bits(value) for name, value in numbers.items() if value is not None},
        vector={
            name: bits(float("nan") if value is None else value)
            for name, value in zip(names, record.vector, strict=False)
        },
        unsettled=any(item.cause in _LATE for item in record.degraded),
    )


def _named(item: Degraded | DegradedModel) -> str:
    name = item.model if isinstance(item, DegradedModel) else item.feature
    return f"{name} {item.cause.value} {item.policy.value}"
