"""What a shadow made of one prediction: the record that the shadow function writes and the shadow report reads."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from quicksilver.contract import EndpointName
from quicksilver.model_version import ModelName, Sha256


class ShadowError(StrEnum):
    """Why a shadow has no score for a prediction."""

    NOT_LOADED = "not_loaded"  # its package could not be read, verified or loaded
    CONTRACT_UNREADABLE = "contract_unreadable"  # the answering package has no contract of that fingerprint
    FEATURES_LACKING = "features_lacking"  # its contract has features that the answering one does not have
    REJECTED = "rejected"  # its contract refuses a value that the answering one takes
    NOT_EVALUATED = "not_evaluated"


class ShadowScore(BaseModel):
    """One shadow's score of one prediction, or why there is none.

    ``time`` is the prediction's own, ``answered_by`` the model version that answered it. ``raw_score`` and ``score``
    are null, and ``score_us`` 0, where ``error`` is not; ``score_us`` is microseconds for mapping and scoring.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    prediction_id: str
    endpoint: EndpointName
    entity_id: str
    time: str
    model: ModelName
    package_sha256: Sha256
    answered_by: ModelName
    raw_score: float | None
    score: float | None
    score_us: int
    error: ShadowError | None
