"""Who works on a request: one execution of the machine, however often the bus delivers the request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from quicksilver.instants import utc_iso
from quicksilver.monitoring import Kind, MonitoringStore, read_document
from quicksilver.ports import Clock
from quicksilver.retraining.request import RequestId, RetrainRequest


class TakenRequest(BaseModel):
    """A document of ``monitoring.Kind.RETRAINING``: the execution, by its ARN, that has taken a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: RequestId
    execution: str
    taken_at: str


def take(store: MonitoringStore, request: RetrainRequest, execution: str, clock: Clock) -> bool:
    """Take a request for an execution; says whether it is that one's, which it stays however often it asks.

    Raises ``Unavailable``: it may have been taken all the same.
    """
    taking = TakenRequest(request_id=request.id, execution=execution, taken_at=utc_iso(clock.now_ms()))
    if store.claim(Kind.RETRAINING, request.endpoint, request.id, taking.model_dump_json().encode()):
        return True
    taken = read_document(store, Kind.RETRAINING, request.endpoint, request.id, TakenRequest)
    return taken is not None and taken.execution == execution
