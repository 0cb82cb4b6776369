"""What watching an endpoint leaves behind: documents by window in the archive bucket, and claims that are made once.

There is no table: a document is written whole under the name of its window, and a claim is an object that can be written
once. A run that is killed leaves a document or none; whoever comes next begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from quicksilver.errors import Unavailable

MONITORING_PREFIX = "monitoring/"
"""Where the documents are in the archive bucket: ``monitoring/<kind>/<endpoint>/<name>.json``, and pages as ``.html``."""


Document = TypeVar("Document", bound=BaseModel)


class Window(BaseModel):
    """[start, end) in UTC epoch milliseconds, by the time of the predictions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_ms: int
    end_ms: int

    @property
    def name(self) -> str:
        """The name of its documents: they sort by start, then by length."""
        return f"{self.start_ms:015d}-{self.end_ms - self.start_ms:012d}"


class Kind(StrEnum):
    """What a document is of."""

    DRIFT = "drift"  # drift.result.WindowResult, named by the start and the length of its window
    REPORT = "report"  # the page that an alarm links to, by the window it is of
    PERFORMANCE = "performance"  # performance.result.PerformanceResult, named by its window and model version
    ANNOUNCED = "announced"  # an event that the bus has taken, by the event's id
    RETRAIN = "retrain"  # retraining.request.RetrainRequest, by its id
    RETRAINING = (
        "retraining"  # retraining.execution.TakenRequest, which has taken a request, by the request's id
    )


class DetailType(StrEnum):
    """What an event of the monitoring is of. Consumers that have seen an ``id`` of a detail type need not see it again."""

    DRIFT_DETECTED = "DriftDetected"
    PERFORMANCE_DEGRADED = "PerformanceDegraded"
    RETRAIN_REQUESTED = "RetrainRequested"
    TRAINING_WANTED = (
        "TrainingWanted"  # of a stage that trains elsewhere, with the token that the machine waits for
    )


class MonitoringStore(Protocol):
    """Documents by kind, endpoint and name. Names sort as their windows do. Every call may raise ``Unavailable``."""

    def put(self, kind: Kind, endpoint: str, name: str, document: bytes) -> None:
        """Keep a document whole, in the place of the one under its name."""
        ...

    def claim(self, kind: Kind, endpoint: str, name: str, document: bytes) -> bool:
        """Keep a document if there is none under its name; says whether it was kept. Of any number of claims at once
        one is kept."""
        ...

    def get(self, kind: Kind, endpoint: str, name: str) -> bytes | None: ...

    def names(self, kind: Kind, endpoint: str, *, since: str = "") -> Iterator[str]:
        """The names of the documents, from ``since`` on, in order."""
        ...


def read_document(
    store: MonitoringStore, kind: Kind, endpoint: str, name: str, of: type[Document]
) -> Document | None:
    """A document as what it is of; None where there is none. Raises ``Unavailable`` for one that is something else."""
    content = store.get(kind, endpoint, name)
    if content is None:
        return None
    try:
        return of.model_validate_json(content)
    except ValidationError as error:
        raise Unavailable(f"The document {kind}/{endpoint}/{name} is no {of.__name__}.") from error
