"""Every error Quicksilver raises on purpose, in one tree.

::

    QuicksilverError
    ├── InvalidInput              the caller's fault: names fields and reasons
    │   ├── MalformedBody         not JSON, or not an object
    │   ├── InvalidRequest        JSON, but not what the contract asks for
    │   ├── InvalidParameter      a header or query parameter that says how to answer
    │   ├── BodyTooLarge
    │   ├── InvalidContract       a contract that contradicts itself
    │   ├── InvalidPackage        a model package that is incomplete or altered
    │   ├── InvalidData           rows for training or evaluation that cannot be used
    │   ├── InvalidPolicy         a gate policy, or guards of a rollout, that contradict themselves
    │   ├── NotAllowed            the registry's rules forbid it: its state, its author, its time
    │   ├── InvalidRoute          arms that cannot make a route
    │   └── InvalidQuery          SQL the archive cannot answer
    ├── NotFound                  an endpoint, model version, route or entity that is not there
    ├── Conflict                  somebody else changed it first
    │   ├── KeyReused             an idempotency key that has been used for another request
    │   └── KeyInFlight           an idempotency key under which an answer is being made
    ├── ReleaseRefused            a function version that must get no traffic, or no more of it
    └── Unavailable               a dependency cannot answer now; retrying later may help
        ├── NoModel               no model version can answer for the endpoint
        ├── FeaturesLate          a feature the contract insists on was not read in time
        ├── ModelNotLoadable      an artefact that is missing, altered or refused by LightGBM
        ├── KernelRefused         a sound model whose contributions are LightGBM's to compute
        ├── NotEvaluated          a model gave no usable score for a vector
        │   └── NotAdditive       its contributions, LightGBM's own too, do not add up to the raw score
        └── LogFull               a record can be neither delivered nor held

Only the edge (``edge.py``, ``cli``) turns these into HTTP statuses or exit codes.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field and why it was refused. ``field`` is a dotted path: ``features.amount``."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class QuicksilverError(Exception):
    """Base of all errors raised on purpose. The message is one sentence a caller may read."""


class InvalidInput(QuicksilverError):
    """What was given cannot be accepted; ``fields`` names each field and its reason."""

    def __init__(self, message: str, fields: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)


class MalformedBody(InvalidInput):
    """The body is not JSON, or is not a JSON object."""


class InvalidRequest(InvalidInput):
    """The body is JSON but does not satisfy the request schema or the contract."""


class InvalidParameter(InvalidInput):
    """A header or a query parameter of the request is not one of its values."""


class BodyTooLarge(InvalidInput):
    """The body is larger than a scoring request can be."""


class InvalidContract(InvalidInput):
    """The contract contradicts itself or its model."""


class InvalidPackage(InvalidInput):
    """The model package is incomplete, altered or inconsistent."""


class InvalidData(InvalidInput):
    """Rows for training or evaluation cannot be used as they are."""


class InvalidPolicy(InvalidInput):
    """The gate policy, or the guards, are not valid."""


class NotAllowed(InvalidInput):
    """The registry's rules forbid the change."""


class InvalidRoute(InvalidInput):
    """The arms given cannot make a route."""


class InvalidQuery(InvalidInput):
    """The SQL text cannot be answered from the archive."""


class NotFound(QuicksilverError):
    """The thing named does not exist."""


class Conflict(QuicksilverError):
    """Another writer got there first; read again and decide anew."""


class KeyReused(Conflict):
    """The idempotency key belongs to a request that asked something else."""


class KeyInFlight(Conflict):
    """Another attempt under the idempotency key has not answered yet; asking again later gets its answer."""


class ReleaseRefused(QuicksilverError):
    """A function version is not what its release says, or does not answer as it must."""


class Unavailable(QuicksilverError):
    """Something we depend on cannot answer now."""


class NoModel(Unavailable):
    """No model version can answer for the endpoint."""


class FeaturesLate(Unavailable):
    """Features whose policy is ``reject`` were not read in time; ``features`` names them."""

    def __init__(self, features: Sequence[str]) -> None:
        super().__init__(f"{', '.join(features)} not read in time.")
        self.features = tuple(features)


class ModelNotLoadable(Unavailable):
    """A model version's artefact is missing, altered or refused by LightGBM; ``model`` names it where it is known."""

    def __init__(self, message: str, *, model: str | None = None) -> None:
        super().__init__(message)
        self.model = model


class KernelRefused(Unavailable):
    """The SHAP kernel cannot explain a model that is sound otherwise."""


class NotEvaluated(Unavailable):
    """A loaded model gave no usable score, or contributions that do not add up to it."""


class NotAdditive(NotEvaluated):
    """Neither the kernel's contributions nor LightGBM's own add up to the raw score."""


class LogFull(Unavailable):
    """A decision's record could be neither delivered nor held, so the decision is not made."""


def whereabouts(error: BaseException) -> dict[str, Any]:
    """What may be logged of an unforeseen error: its type and place. Its message may quote what it choked on."""
    frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__name__, "frames": frames}
