"""A retraining on the deployed stage: from a request in the archive's bucket to a gated model version in shadow."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np

from quicksilver.archive import PREDICTIONS
from quicksilver.aws.s3_objects import S3ObjectStore
from quicksilver.aws.system import SystemClock
from quicksilver.instants import utc_iso
from quicksilver.model_version import State as ModelState
from quicksilver.monitoring_announcements import (
    ArchivePlace,
    MonitoringAnnouncements,
    request_announcement,
)
from quicksilver.outcomes import Outcome, keep_outcomes
from quicksilver.retraining.ending import EndingKind
from quicksilver.retraining.progress import Progress, State, progress
from quicksilver.retraining.trigger import Trigger
from quicksilver.retraining.workspace import WorkFile, Workspace
from tests.local_stack import eventually
from tests.prediction_records import prediction_record
from tests.trainings import world

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.local_stack import LocalStack

ENDPOINT = "card-fraud"
HOUR_MS = 3_600_000
ROWS = 6_000


def fill_archive(stack: LocalStack, package: Package, champion: str) -> None:
    """Predictions of some days before yesterday with their outcomes, in a world that has changed since the champion was trained: what
    is bad is rarer, and plainer to see, so that few rows make a model that passes the gates of the stage's own policy."""
    vectors, _ = world(ROWS, seed=11)
    signal = vectors[:, 0] / 80 + vectors[:, 3] / 2 + (vectors[:, 1] == 1)
    labels = signal + np.random.default_rng(1).normal(size=ROWS) * 0.3 > 4.5
    now_ms = time.time_ns() // 1_000_000
    # Other tests read the archive's last day.
    start_ms = now_ms - 144 * HOUR_MS
    step_ms = 100 * HOUR_MS // ROWS
    lines: dict[str, list[bytes]] = {}
    outcomes = []
    for number, (vector, label) in enumerate(zip(vectors.tolist(), labels.tolist(), strict=True)):
        time_ms = start_ms + number * step_ms
        record = prediction_record(
            number,
            time_ms=time_ms,
            model=champion,
            assigned=champion,
            package_sha256=package.sha256,
            fingerprint=package.contract.fingerprint,
            vector=tuple(None if value != value else value for value in vector),
            stage="local",
        )
        hour = utc_iso(time_ms)[:13].replace("-", "/").replace("T", "/")
        lines.setdefault(hour, []).append(record.to_entry().data)
        outcomes.append(
            Outcome(prediction_id=record.prediction_id, label=label, time=utc_iso(time_ms + HOUR_MS))
        )
    for hour, data in lines.items():
        stack.client("s3").put_object(
            Bucket=stack.outputs["ArchiveBucket"],
            Key=f"{PREDICTIONS.folder(ENDPOINT)}{hour}/retraining.jsonl",
            Body=b"".join(data),
        )
    keep_outcomes(stack.outcomes, ENDPOINT, outcomes)


def test_a_request_becomes_a_model_in_shadow_that_answers_nobody(stack: LocalStack, package: Package) -> None:
    route = stack.registry.current_route(ENDPOINT)
    champion = route.champion.model
    fill_archive(stack, package, champion)
    # When a person asks, and the request is announced as the schedule would
    clock, policies = SystemClock(), stack.drift_policies
    trigger = Trigger("local", stack.monitoring, stack.registry_store, policies, clock)
    request = trigger.request(ENDPOINT, reason="The world has turned.", who=stack.caller())
    place = ArchivePlace(stack.outputs["ArchiveBucket"], "us-east-1")
    announcements = MonitoringAnnouncements(
        "local", stack.monitoring, stack.announcer, policies, place, clock
    )
    assert announcements.catch_up(ENDPOINT) >= 1
    # And the same event comes again
    stack.announcer.announce(request_announcement(request))

    def ended() -> Progress | None:
        found = progress(stack.monitoring, stack.executions, request)
        return found if found.state in (State.ENDED, State.FAILED) else None

    found = eventually(ended, "the retraining ends", seconds=240)
    # Then it has ended in shadow, by the gates of the stage's own policy
    assert found.ending is not None, found.sentence
    assert found.ending.kind is EndingKind.SHADOW, (found.sentence, found.ending.failed_checks)
    model = stack.registry.model_version(str(found.model))
    assert model.state is ModelState.GATED
    assert model.author != stack.caller(), "its author is the machine, so whoever asked may approve it"
    after = stack.registry.current_route(ENDPOINT)
    assert [arm.model for arm in after.shadows] == [*(arm.model for arm in route.shadows), model.name]
    assert after.answering == route.answering
    # And everything it went by is in its workspace
    objects = S3ObjectStore(stack.client("s3"), stack.outputs["ArchiveBucket"])
    workspace = Workspace(objects, ENDPOINT, request.id)
    assert all(workspace.find(file) for file in WorkFile)
    # Other tests label predictions of this contract too.
    assert json.loads(workspace.get(WorkFile.FACTS))["rows"] >= ROWS

    # And the event that came twice was worked on once
    def statuses() -> list[str] | None:
        listed = stack.client("stepfunctions").list_executions(
            stateMachineArn=stack.outputs["RetrainingMachine"]
        )
        found = [str(item["status"]) for item in listed["executions"]]
        return None if "RUNNING" in found else found

    assert eventually(statuses, "every execution ends") == ["SUCCEEDED", "SUCCEEDED"]
    stack.as_("grace").registry.remove_shadow(ENDPOINT, model.name, reason="The test is over.")
