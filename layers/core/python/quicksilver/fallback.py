"""What answers when the model version that should cannot, and how an answer says so.

The ladder: the arm that is assigned, the route's champion, the last good champion that this environment still holds,
the score that the contract declares. Whoever answers, each rung that could not is named in ``degraded``.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from quicksilver.model_version import ModelName


class ModelCause(StrEnum):
    """Why a model version did not answer."""

    NOT_EVALUATED = "not_evaluated"  # it gave no usable score for this vector
    NOT_LOADED = "not_loaded"  # the current route names it, and it could not be loaded here
    REFUSED = "refused"  # its contract refuses a request that the champion's takes
    FEATURES_LATE = "features_late"  # a feature that its contract insists on was not read in time
    OUTDATED = "outdated"  # it answered, and a newer route is still to be loaded
    UNCONFIRMED = "unconfirmed"  # it answered, and the registry has not confirmed its route for too long


class ModelPolicy(StrEnum):
    """What answered instead."""

    CHAMPION = "champion"
    LAST_GOOD = "last_good"
    FALLBACK_SCORE = "fallback_score"


class DegradedModel(BaseModel):
    """A model version that did not answer as the current route would have it, and what did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelName
    cause: ModelCause
    policy: ModelPolicy
