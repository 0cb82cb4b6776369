"""``quicksilver retrain``: what was asked for, how far each request has come, and one more by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from quicksilver.cli import retrain
from quicksilver.cli.app import app
from quicksilver.errors import Unavailable
from quicksilver.memory import ManualClock, MemoryAnnouncer, MemoryMonitoringStore
from quicksilver.monitoring import DetailType, Kind
from quicksilver.ports import Execution, ExecutionStatus
from quicksilver.retraining.ending import Ending, EndingKind
from quicksilver.retraining.execution import take
from quicksilver.retraining.progress import State, progress
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.trigger import Trigger
from tests.monitoring_documents import ENDPOINT, RegistryOf, drift_policy

ADA = "arn:aws:iam::000000000000:user/ada"
ENDED = Ending(kind=EndingKind.SHADOW, sentence="card-fraud@2 is in shadow.", model="card-fraud@2")


class Machine:
    """Executions by their ARN."""

    def __init__(self, **executions: Execution) -> None:
        self.executions = executions

    def describe(self, arn: str) -> Execution | None:
        return self.executions.get(arn)


class FakeStage:
    def __init__(self, machine: Machine | None = None) -> None:
        self.monitoring, self.announcer = MemoryMonitoringStore(), MemoryAnnouncer()
        self.executions = machine or Machine()
        self.registry_store = RegistryOf()
        self.drift_policies = {ENDPOINT: drift_policy()}
        self.outputs = {"ArchiveBucket": "archive-1"}
        self.session = SimpleNamespace(region_name="eu-central-1")

    def caller(self) -> str:
        return ADA

    def ask(self, execution: str | None = None) -> RetrainRequest:
        registry: Any = self.registry_store
        trigger = Trigger("local", self.monitoring, registry, self.drift_policies, ManualClock())
        request = trigger.request(ENDPOINT, reason="Look.", who=ADA)
        if execution:
            assert take(self.monitoring, request, execution, ManualClock())
        return request


def run(monkeypatch: pytest.MonkeyPatch, stage: FakeStage, *words: str) -> Any:
    monkeypatch.setattr(retrain, "deployed_stage", lambda *_: stage)
    return CliRunner().invoke(app, ["retrain", *words])


def succeeded(ending: Ending = ENDED) -> Execution:
    output = json.dumps({"id": "card-fraud-000001", "ending": ending.model_dump(mode="json")})
    return Execution(ExecutionStatus.SUCCEEDED, output=output)


@pytest.mark.parametrize(
    ("execution", "state", "sentence"),
    [
        (None, State.FORGOTTEN, ""),
        (Execution(ExecutionStatus.RUNNING), State.RUNNING, ""),
        (succeeded(), State.ENDED, "card-fraud@2 is in shadow."),
        (Execution(ExecutionStatus.FAILED, error="InvalidData", cause="No rows."), State.FAILED, "No rows."),
        (Execution(ExecutionStatus.FAILED, error="States.Timeout"), State.FAILED, "States.Timeout"),
        (Execution(ExecutionStatus.TIMED_OUT), State.FAILED, "It took longer than it may."),
        (Execution(ExecutionStatus.ABORTED), State.FAILED, "Somebody has stopped it."),
    ],
)
def test_a_request_has_come_as_far_as_its_execution(
    execution: Execution | None, state: State, sentence: str
) -> None:
    stage = FakeStage(Machine(**({"arn": execution} if execution else {})))
    found = progress(stage.monitoring, stage.executions, stage.ask("arn"))
    assert (found.state, found.sentence) == (state, sentence)
    assert (found.model == "card-fraud@2") is (state is State.ENDED)


def test_a_request_that_nobody_has_taken_is_asked_and_no_more() -> None:
    stage = FakeStage()
    assert progress(stage.monitoring, stage.executions, stage.ask()).state is State.ASKED


@pytest.mark.parametrize("output", [None, "{}", "[1]", '{"ending": {"kind": "bliss"}}'])
def test_an_output_that_says_no_ending_is_said(output: str | None) -> None:
    stage = FakeStage(Machine(arn=Execution(ExecutionStatus.SUCCEEDED, output=output)))
    request = stage.ask("arn")
    with pytest.raises(Unavailable, match="cannot be read"):
        progress(stage.monitoring, stage.executions, request)


def test_requests_are_listed_the_latest_first_with_what_they_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FakeStage(Machine(one=succeeded(), two=Execution(ExecutionStatus.FAILED, cause="No rows.")))
    for execution in ("one", "two", None):
        stage.ask(execution)
    done = run(monkeypatch, stage, "list", "--endpoint", ENDPOINT, "--json")
    assert done.exit_code == 0
    content = json.loads(done.stdout)
    assert [item["request"]["id"][-1] for item in content] == ["3", "2", "1"]
    assert [item["state"] for item in content] == ["asked", "failed", "ended"]
    shown = run(monkeypatch, stage, "list", "--endpoint", ENDPOINT, "--limit", "2").stdout
    assert "No rows." in shown
    assert "card-fraud@2 is in shadow." not in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_where_nobody_has_asked_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, FakeStage(), "list", "--endpoint", ENDPOINT)
    assert (done.exit_code, done.stdout) == (0, "Nobody has asked for a new model of card-fraud yet.\n")


def test_one_request_is_shown_with_its_reason_and_its_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FakeStage(Machine(one=succeeded()))
    stage.ask("one")
    done = run(monkeypatch, stage, "show", "card-fraud-000001")
    assert done.exit_code == 0
    for words in (
        "Look.",
        "user/ada",
        "s3://archive-1/training/card-fraud/card-fraud-000001/",
        "card-fraud@2 is in",
    ):
        assert words in done.stdout
    for unknown in ("card-fraud-000009", "nonsense"):
        missing = run(monkeypatch, stage, "show", unknown)
        assert missing.exit_code == 1
        assert "There is no request" in missing.stderr
        assert "Traceback" not in missing.stderr


def test_a_person_asks_after_a_plan_and_everybody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FakeStage()
    words = ("request", "--endpoint", ENDPOINT, "--reason", "New merchants.")
    monkeypatch.setattr("typer.confirm", lambda *_, **__: (_ for _ in ()).throw(SystemExit(1)))
    refused = run(monkeypatch, stage, *words)
    assert "it is trained, gated and put in shadow, and answers nobody" in refused.stderr
    assert list(stage.monitoring.names(Kind.RETRAIN, ENDPOINT)) == []
    done = run(monkeypatch, stage, *words, "--yes", "--json")
    assert done.exit_code == 0
    made = json.loads(done.stdout)["request"]
    assert (made["reason"], made["requested_by"], made["evidence"]) == ("New merchants.", ADA, [])
    (told,) = stage.announcer.announced
    assert [event.detail_type for event in told.events] == [DetailType.RETRAIN_REQUESTED]
    assert "By: arn:aws:iam::000000000000:user/ada" in told.text


def test_a_request_that_could_not_be_announced_is_made_all_the_same_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Deaf:
        def announce(self, announcement: Any) -> None:
            raise Unavailable("An announcement was not taken.")

    stage: Any = FakeStage()
    stage.announcer = Deaf()
    done = run(monkeypatch, stage, "request", "--endpoint", ENDPOINT, "--reason", "Now.", "--yes")
    assert done.exit_code == 1
    assert "card-fraud-000001 is made all the same" in done.stderr.replace("\n", " ")
    assert list(stage.monitoring.names(Kind.RETRAIN, ENDPOINT)) == ["card-fraud-000001"]
