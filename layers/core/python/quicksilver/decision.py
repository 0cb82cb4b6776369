"""One decision: vector, score and reasons, by the highest rung of the ladder that can answer.

It depends on the request, what was read, the models and the moment it is given, and on nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quicksilver.contract import Contract, MissingPolicy
from quicksilver.errors import FeaturesLate, InvalidRequest, NotAdditive, NotEvaluated, QuicksilverError
from quicksilver.evaluator import Evaluation, ExplainedBy
from quicksilver.fallback import DegradedModel, ModelCause, ModelPolicy
from quicksilver.features import Cause, Degraded, Vector, build_vector, check_names, feature_keys
from quicksilver.metrics import Metric
from quicksilver.model_loader import LoadedModel
from quicksilver.ports import FeatureKey, FeatureReading, Metrics
from quicksilver.prediction import Status
from quicksilver.reasons import Reason, Wanted, reasons_for
from quicksilver.request import ScoreRequest
from quicksilver.routing import Arm, Role
from quicksilver.serving import LoadedRoute
from quicksilver.stopwatch import Step, Stopwatch

logger = logging.getLogger(__name__)

NO_VECTOR = Vector((), (), {})


@dataclass(frozen=True, slots=True)
class Routed:
    """A request with the arm that should answer it, and the feature rows that arm's contract asks for, by group.

    ``names`` are the features to read of ``rows``; both cover the champion's contract too, which is asked next.
    """

    request: ScoreRequest
    loaded: LoadedRoute
    arm: Arm
    held_out: bool
    model: LoadedModel
    keys: Mapping[str, FeatureKey]
    rows: tuple[FeatureKey, ...]
    names: tuple[str, ...]

    @property
    def by_champion(self) -> bool:
        return self.arm.role is Role.CHAMPION


@dataclass(frozen=True, slots=True)
class Decision:
    """What is answered, and by whom. ``raw_score`` is empty where no model ran, ``explained`` where nothing was to be explained."""

    model: LoadedModel
    status: Status
    score: float
    raw_score: float | None
    explained: Evaluation | None
    reasons: tuple[Reason, ...]
    vector: Vector
    degraded: tuple[Degraded | DegradedModel, ...]


def decide(
    routed: Routed,
    reading: FeatureReading,
    now_ms: int,
    wanted: Wanted,
    watch: Stopwatch,
    metrics: Metrics,
) -> Decision:
    """Score a request by the arm it is assigned to, or by the next rung of the ladder that can.

    Callers are fitted to the champion's contract: what another arm's refuses is that arm's failure, and the champion
    answers. Raises ``InvalidRequest`` for what the champion's refuses too, and ``FeaturesLate`` or ``NotEvaluated``, as
    the champion did, where no rung can answer and its contract declares no fallback score.
    """
    failed: list[tuple[str, QuicksilverError]] = []
    for model, policy in routed.loaded.ladder(routed.arm):
        try:
            vector = _vector(routed, model, reading, now_ms)
            watch.mark(Step.VECTOR)
            raw_score, explained = _evaluate(model, vector, wanted)
            watch.mark(Step.SCORE)
        except (InvalidRequest, FeaturesLate) as error:
            if policy is ModelPolicy.LAST_GOOD:
                continue  # its contract is not what callers are fitted to
            if policy is None and not routed.by_champion:
                failed.append((model.name, error))
                continue
            if isinstance(error, InvalidRequest):
                raise
            # No rung would read the features any sooner.
            return _fallback(routed, [*failed, (model.name, error)])
        except NotEvaluated as error:
            metrics.count(Metric.MODELS_NOT_EVALUATED)
            if isinstance(error, NotAdditive):
                metrics.count(Metric.ADDITIVITY_FAILED)
            logger.error("%s was not evaluated: %s", model.name, error)
            failed.append((model.name, error))
            continue
        if explained and explained.explained_by is not ExplainedBy.KERNEL:
            metrics.count(Metric.EXPLAINED_BY_LIGHTGBM)
            if explained.kernel_failed:
                metrics.count(Metric.ADDITIVITY_FAILED)
        return Decision(
            model=model,
            status=Status.REFER if vector.refer else Status.SCORED,
            score=model.evaluator.score(raw_score),
            raw_score=raw_score,
            explained=explained,
            reasons=reasons_for(model.contract, explained.contributions, wanted) if explained else (),
            vector=vector,
            degraded=(*vector.degraded, *routed.loaded.notes, *_named(failed, policy)),
        )
    return _fallback(routed, failed)


def _vector(routed: Routed, model: LoadedModel, reading: FeatureReading, now_ms: int) -> Vector:
    if model is not routed.model:
        keys: Mapping[str, FeatureKey] = feature_keys(model.contract, routed.request)
        if unread := _unread(routed, model.contract, keys):
            reading = replace(reading, late=reading.late | unread)
    else:
        keys = routed.keys
        if not routed.by_champion:
            check_names(model.contract, routed.request)
    return build_vector(model.contract, routed.request, keys, reading, now_ms)


def _unread(routed: Routed, contract: Contract, keys: Mapping[str, FeatureKey]) -> frozenset[FeatureKey]:
    """The rows of which a last good champion needs what was not asked for: its features are late, never unknown."""
    names = set(contract.online_names).difference(routed.names)
    groups = {feature.group for feature in contract.features if feature.name in names}
    return frozenset(key for group, key in keys.items() if group in groups or key not in routed.rows)


def _evaluate(model: LoadedModel, vector: Vector, wanted: Wanted) -> tuple[float, Evaluation | None]:
    if wanted is Wanted.NONE:
        return model.evaluator.raw_score(vector.values), None
    evaluation = model.evaluator.evaluate(vector.values)
    return evaluation.raw_score, evaluation


def _fallback(routed: Routed, failed: Sequence[tuple[str, QuicksilverError]]) -> Decision:
    """The score that the champion's contract declares, or what kept the champion from answering."""
    champion = routed.loaded.champion
    error = dict(failed)[champion.name]
    if champion.contract.fallback_score is None:
        raise error
    late = error.features if isinstance(error, FeaturesLate) else ()
    return Decision(
        model=champion,
        status=Status.FALLBACK,
        score=champion.contract.fallback_score,
        raw_score=None,
        explained=None,
        reasons=(),
        vector=NO_VECTOR,
        degraded=(
            *(Degraded(feature=name, cause=Cause.LATE, policy=MissingPolicy.REJECT) for name in late),
            *routed.loaded.notes,
            *_named(failed, ModelPolicy.FALLBACK_SCORE),
        ),
    )


def _named(failed: Sequence[tuple[str, QuicksilverError]], policy: ModelPolicy | None) -> list[DegradedModel]:
    """The rungs that failed, with what answered in their place; there is no failure without such a policy."""
    return [DegradedModel(model=name, cause=_cause(error), policy=policy) for name, error in failed if policy]


def _cause(error: QuicksilverError) -> ModelCause:
    if isinstance(error, FeaturesLate):
        return ModelCause.FEATURES_LATE
    return ModelCause.REFUSED if isinstance(error, InvalidRequest) else ModelCause.NOT_EVALUATED
