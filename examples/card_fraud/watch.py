"""What the monitoring makes of the simulated past: quiet days, then drift, one request for a new model, and that model in shadow.

The drift function is invoked as its schedule would, and catches up with every day at once. What follows is the product's own
doing: events, the request, the state machine that trains, gates and registers. Here it is only waited for.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from examples.card_fraud.contract import ENDPOINT
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.s3_objects import S3ObjectStore
from quicksilver.drift.result import WindowResult
from quicksilver.errors import QuicksilverError, Unavailable
from quicksilver.gates.report import GateReport
from quicksilver.local import checkout
from quicksilver.monitoring import Kind, read_document
from quicksilver.monitoring_announcements import ArchivePlace, drift_announcement
from quicksilver.retraining.ending import Ending, EndingKind
from quicksilver.retraining.progress import State, progress
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.trigger import Requests
from quicksilver.retraining.workspace import WorkFile, Workspace

PAGE = "card-fraud.drift.html"
PATIENCE_SECONDS = 180
LOOK_SECONDS = 1
MOST_RUNS = 20

Say = Callable[[str], None]


def catch_up(stage: DeployedStage, say: Say) -> str:
    """Run the drift function until no window is due any more; returns what its last run said of the endpoint."""
    for _ in range(MOST_RUNS):
        said = str(stage.invoke(stage.function("drift"), {})[ENDPOINT])
        if "failed" in said:
            raise QuicksilverError(f"The drift function says: {said}")
        if "more are due" not in said:
            return said
        say(said)
    raise Unavailable(f"The drift function has more to judge after {MOST_RUNS} runs.")


def windows(stage: DeployedStage) -> list[WindowResult]:
    """What was judged, oldest first, without the days before the endpoint's life."""
    store = stage.monitoring
    names = store.names(Kind.DRIFT, ENDPOINT)
    found = (read_document(store, Kind.DRIFT, ENDPOINT, name, WindowResult) for name in names)
    return [result for result in found if result and result.counts.archived]


def headline(stage: DeployedStage, result: WindowResult) -> str:
    """What people are told of a window with alarms, in one line."""
    place = ArchivePlace(stage.outputs["ArchiveBucket"], stage.session.region_name)
    return drift_announcement(result, stage.stage, place).subject


def documents(stage: DeployedStage) -> list[str]:
    """Everything that was announced and asked for, by name."""
    store = stage.monitoring
    return [name for kind in (Kind.ANNOUNCED, Kind.RETRAIN) for name in store.names(kind, ENDPOINT)]


def the_request(stage: DeployedStage) -> RetrainRequest:
    """The one request for a new model. Raises ``QuicksilverError`` where there is none, or another."""
    requests = Requests(ENDPOINT, stage.monitoring)
    if len(requests.names) != 1:
        raise QuicksilverError(
            f"There should be one request for a new model, and there are {len(requests.names)}."
        )
    return requests.get(requests.names[0])


def wait_for_ending(stage: DeployedStage, request: RetrainRequest, say: Say) -> Ending:
    """How the machine's execution of a request ends. Raises ``QuicksilverError`` where that is not in shadow."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = progress(stage.monitoring, stage.executions, request)
        if found.ending is not None and found.ending.kind is EndingKind.SHADOW:
            return found.ending
        if found.state not in (State.ASKED, State.RUNNING):
            raise QuicksilverError(f"The retraining {request.id} has not led to a shadow: {found.sentence}")
        say(_step(stage, request))
        time.sleep(LOOK_SECONDS)
    raise Unavailable(f"The retraining {request.id} has not ended after {PATIENCE_SECONDS} s.")


def gate_report(stage: DeployedStage, request: RetrainRequest) -> GateReport:
    return GateReport.model_validate_json(_workspace(stage, request).get(WorkFile.REPORT))


def write_page() -> Path:
    """The report as its command writes it."""
    page = checkout() / "build" / PAGE
    command = [
        str(Path(sys.prefix, "bin", "quicksilver")), "drift", "report", "--endpoint", ENDPOINT, "--html", str(page),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"The report was not written: {done.stderr.strip()}")
    return page


_DOING = {
    WorkFile.SET: "reading predictions with their outcomes",
    WorkFile.PACKAGE: "training",
    WorkFile.REPORT: "packing and gating",
}


def _workspace(stage: DeployedStage, request: RetrainRequest) -> Workspace:
    objects = S3ObjectStore(stage.client("s3"), stage.outputs["ArchiveBucket"])
    return Workspace(objects, ENDPOINT, request.id)


def _step(stage: DeployedStage, request: RetrainRequest) -> str:
    """What the machine is at, by the first of its files that is not there yet."""
    workspace = _workspace(stage, request)
    return next((words for file, words in _DOING.items() if workspace.find(file) is None), "into the shadow")
