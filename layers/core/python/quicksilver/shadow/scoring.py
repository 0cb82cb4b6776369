"""Shadows: other model versions' scores of the very vectors that were scored on the request path.

A record has all that this takes: the vector, which model version answered, and by which contract. Nothing here
touches the request path, and nothing a shadow does can reach a caller.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection
from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from quicksilver.contract import EndpointName, contract_field_errors
from quicksilver.contract_mapping import Mapping
from quicksilver.errors import (
    FieldError,
    InvalidContract,
    InvalidInput,
    InvalidRequest,
    ModelNotLoadable,
    NotEvaluated,
    NotFound,
    Unavailable,
    whereabouts,
)
from quicksilver.model_loader import LoadedModel, ModelLoader, is_outage
from quicksilver.model_version import ModelName, Sha256
from quicksilver.package import read_contract
from quicksilver.ports import ArtifactStore, Clock
from quicksilver.routing import Arm
from quicksilver.shadow_score import ShadowError, ShadowScore

logger = logging.getLogger(__name__)

RETRY_MS = 10_000
"""How long what could not be loaded is not tried again."""

_REMEMBERED = 256
"""How many failures are remembered at most: records of packages that are not there must not fill the memory."""

Key = TypeVar("Key")
Made = TypeVar("Made")


class _Note(BaseModel):
    """A degraded feature; a degraded model has no feature."""

    feature: str | None = None


class ScoredVector(BaseModel):
    """What a shadow needs of a prediction record, of any schema so far. ``vector`` is empty for a fallback."""

    prediction_id: str
    endpoint: EndpointName
    entity_id: str
    time: str
    model: ModelName
    package_sha256: Sha256
    fingerprint: Sha256
    vector: tuple[float | None, ...]
    degraded: tuple[_Note, ...] = ()

    @classmethod
    def from_json(cls, data: bytes) -> ScoredVector:
        """Raises ``InvalidInput`` naming fields, and never their values."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            fields = [
                FieldError(item.field, "is not as a prediction record has it")
                for item in contract_field_errors(error)
            ]
            raise InvalidInput("It is no prediction record.", fields) from None

    @property
    def values(self) -> tuple[float, ...]:
        """The vector as a model takes it: NaN is missing."""
        return tuple(math.nan if value is None else value for value in self.vector)

    @property
    def degraded_features(self) -> frozenset[str]:
        return frozenset(note.feature for note in self.degraded if note.feature is not None)


class _Failed(Exception):
    """Why a shadow has no score."""

    def __init__(self, error: ShadowError) -> None:
        super().__init__(error)
        self.error = error


class _Once(Generic[Key, Made]):
    """What is made once for each key. That it failed is remembered for ``RETRY_MS``: not every record waits for it."""

    def __init__(self, make: Callable[[Key], Made], clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self._made: dict[Key, Made] = {}
        self._failed: dict[Key, tuple[int, _Failed]] = {}

    def get(self, key: Key) -> Made:
        """Raises what ``make`` raises; a ``_Failed`` again without asking it, for a while."""
        if key in self._made:
            return self._made[key]
        now = self._clock.now_ms()
        until, failed = self._failed.get(key, (now, None))
        if failed and now < until:
            raise failed
        self._failed.pop(key, None)
        try:
            made = self._make(key)
        except _Failed as error:
            self._failed[key] = (now + RETRY_MS, error)
            if len(self._failed) > _REMEMBERED:
                del self._failed[next(iter(self._failed))]
            raise
        self._made[key] = made
        return made

    def keep(self, wanted: Callable[[Key], bool]) -> None:
        self._made = {key: made for key, made in self._made.items() if wanted(key)}


class _Pair(NamedTuple):
    """A shadow, and the package and contract that a vector was scored by."""

    arm: Arm
    package_sha256: str
    fingerprint: str


class ShadowScorer:
    """Scores vectors with shadows' models, each loaded once."""

    def __init__(self, loader: ModelLoader, artifacts: ArtifactStore, clock: Clock) -> None:
        self._loader = loader
        self._artifacts = artifacts
        self._clock = clock
        self._models = _Once(self._load, clock)
        self._mappings = _Once(self._map, clock)

    def keep(self, arms: Collection[Arm]) -> None:
        """Let go of every model that is no arm's of these."""
        self._models.keep(lambda arm: arm in arms)
        self._mappings.keep(lambda pair: pair.arm in arms)

    def score(self, record: ScoredVector, arm: Arm) -> ShadowScore:
        """One shadow's score of one vector, or the error that says why it has none.

        Raises ``Unavailable`` where a store did not answer: the same again may work.
        """
        raw_score = score = error = None
        score_us = 0
        try:
            model = self._models.get(arm)
            mapping = self._mappings.get(_Pair(arm, record.package_sha256, record.fingerprint))
            started_us = self._clock.monotonic_us()
            raw_score, score = _evaluate(model, mapping, record)
            score_us = self._clock.monotonic_us() - started_us
        except _Failed as failed:
            error = failed.error
        return ShadowScore(
            prediction_id=record.prediction_id,
            endpoint=record.endpoint,
            entity_id=record.entity_id,
            time=record.time,
            model=arm.model,
            package_sha256=arm.package_sha256,
            answered_by=record.model,
            raw_score=raw_score,
            score=score,
            score_us=score_us,
            error=error,
        )

    def _load(self, arm: Arm) -> LoadedModel:
        try:
            return self._loader.model(arm)
        except ModelNotLoadable as error:
            if is_outage(error):
                raise Unavailable(str(error)) from error
            logger.error("shadow not loaded: %s", error)
            raise _Failed(ShadowError.NOT_LOADED) from error

    def _map(self, pair: _Pair) -> Mapping:
        contract = self._models.get(pair.arm).contract
        answering = contract
        if pair.fingerprint != contract.fingerprint:
            try:
                answering = read_contract(
                    lambda name: self._artifacts.get(pair.package_sha256, name),
                    pair.fingerprint,
                    of=f"a record ({pair.package_sha256[:12]})",
                )
            except (NotFound, InvalidInput) as error:
                logger.error("an answering contract is not read: %s", error)
                raise _Failed(ShadowError.CONTRACT_UNREADABLE) from error
        try:
            return Mapping(answering, contract)
        except InvalidContract as error:
            names = [field.field for field in error.fields]
            logger.error("%s cannot be a shadow: %s", pair.arm.model, error, extra={"fields": names})
            raise _Failed(ShadowError.FEATURES_LACKING) from error


def _evaluate(model: LoadedModel, mapping: Mapping, record: ScoredVector) -> tuple[float, float]:
    """Raw score and score. Raises ``_Failed``, whatever went wrong with this one vector."""
    try:
        vector = mapping.vector(record.values, record.degraded_features)
        raw_score = model.evaluator.raw_score(vector)
        return raw_score, model.evaluator.score(raw_score)
    except InvalidRequest as error:
        raise _Failed(ShadowError.REJECTED) from error
    except NotEvaluated as error:
        raise _Failed(ShadowError.NOT_EVALUATED) from error
    except Exception as error:  # whatever it was, the batch's other records are scored
        logger.error("a shadow failed on one vector", extra=whereabouts(error))
        raise _Failed(ShadowError.NOT_EVALUATED) from error
