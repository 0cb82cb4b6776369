"""How far a request has come: from its document, the execution that has taken it, and what came of that."""

from __future__ import annotations

import json
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from quicksilver.errors import Unavailable
from quicksilver.model_version import ModelName
from quicksilver.monitoring import Kind, MonitoringStore, read_document
from quicksilver.ports import Executions, ExecutionStatus as Status
from quicksilver.retraining.ending import Ending
from quicksilver.retraining.execution import TakenRequest
from quicksilver.retraining.request import RetrainRequest


class State(StrEnum):
    ASKED = "asked"  # nobody has taken it yet
    RUNNING = "running"
    ENDED = "ended"  # with what it ended is its ``ending``
    FAILED = "failed"
    FORGOTTEN = "forgotten"  # Step Functions keeps what an execution came to for 90 days


class Progress(BaseModel):
    """A request and how far it has come. ``sentence`` is what came of it, or why it failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: RetrainRequest
    state: State
    ending: Ending | None = None
    sentence: str = ""
    execution: str | None = None

    @property
    def model(self) -> ModelName | None:
        return self.ending.model if self.ending else None


def progress(store: MonitoringStore, executions: Executions, request: RetrainRequest) -> Progress:
    """How far a request has come. Raises ``Unavailable``."""
    taken = read_document(store, Kind.RETRAINING, request.endpoint, request.id, TakenRequest)
    if taken is None:
        return Progress(request=request, state=State.ASKED)
    found = executions.describe(taken.execution)
    if found is None:
        return Progress(request=request, state=State.FORGOTTEN, execution=taken.execution)
    if found.status in (Status.RUNNING, Status.PENDING_REDRIVE):
        return Progress(request=request, state=State.RUNNING, execution=taken.execution)
    if found.status is Status.SUCCEEDED:
        ending = _ending(found.output)
        return Progress(
            request=request,
            state=State.ENDED,
            ending=ending,
            sentence=ending.sentence,
            execution=taken.execution,
        )
    words = {Status.TIMED_OUT: "It took longer than it may.", Status.ABORTED: "Somebody has stopped it."}
    sentence = words.get(found.status) or found.cause or found.error or "It gave no cause."
    return Progress(request=request, state=State.FAILED, sentence=sentence, execution=taken.execution)


def _ending(output: str | None) -> Ending:
    try:
        return Ending.model_validate_json(json.dumps(json.loads(output or "null")["ending"]))
    except (ValueError, KeyError, TypeError):
        raise Unavailable("What the execution came to cannot be read.") from None
