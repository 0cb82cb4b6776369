"""The states of a retraining as a machine runs them, with functions in its parts' places that succeed or fail as told."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from stacks.config import BuiltInTraining, WebhookTraining, load_stage
from stacks.constructs.retraining_states import Parts, definition
from tests.local_stack import eventually

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

STUB = """
import json, os, pathlib, time

def lambda_handler(event, context):
    calls = pathlib.Path(os.environ["CALLS"])
    step = event.get("step", os.environ["STEP"])
    assert set(event) <= {"endpoint", "request_id", "execution", "step"}
    with calls.open("a") as file:
        file.write(step + "\\n")
    before = calls.read_text().split().count(step) - 1
    answers = json.loads(os.environ["ANSWERS"])[step]
    answer = answers[min(before, len(answers) - 1)]
    if "sleep" in answer:
        time.sleep(answer["sleep"])
    if "error" in answer:
        raise type(answer["error"], (Exception,), {})(answer["says"])
    return answer
"""

ANY_ERROR = "Runtime.HandlerError"
"""What the emulator calls every error that a function raises, whatever its class; on AWS it is the name of the class."""

SHADOW = {
    "ending": {"kind": "shadow", "sentence": "card-fraud@2 is in shadow.", "model": "card-fraud@2"},
    "subject": "[local] card-fraud: a retrained model is in shadow",
    "text": "card-fraud@2 is in shadow.",
}
TOO_FEW = {
    "ending": {"kind": "too_few_rows", "sentence": "There are 3."},
    "subject": "Too few",
    "text": "There are 3.",
}
SOUND: dict[str, list[dict[str, Any]]] = {
    "claim": [{"mine": True}],
    "export": [{"enough": True, "ended": None, "rows": 9_000}],
    "train": [{"refused": None}],
    "candidate": [SHADOW],
}


@dataclass
class Machine:
    """A machine whose parts do as they are told, and what it said and did."""

    stack: LocalStack
    folder: Path
    answers: dict[str, list[dict[str, Any]]]
    training: BuiltInTraining | WebhookTraining = field(default_factory=BuiltInTraining)
    seconds: int = 30
    name: str = field(default_factory=lambda: f"retraining-{uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        stage = replace(load_stage("local"), training=self.training)
        sns, sqs = self.stack.client("sns"), self.stack.client("sqs")
        topic = sns.create_topic(Name=self.name)["TopicArn"]
        self._queue = sqs.create_queue(QueueName=self.name)["QueueUrl"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self._arn(self._queue))
        parts = Parts(
            training_set=self._function("training_set"),
            train=self._function("train"),
            candidate=self._function("candidate"),
            topic=topic,
            bus="default",
            archive_bucket="archive",
            archive_key="key",
            training_role=None,
        )
        states = definition(stage, parts)
        for state in states["States"].values():
            for retry in state.get("Retry", ()):
                retry.update(IntervalSeconds=1, MaxAttempts=2, BackoffRate=1)
                if "Unavailable" in retry["ErrorEquals"] and self._has_unavailable:
                    retry["ErrorEquals"] = [ANY_ERROR]
            if state["Type"] == "Task":
                state["TimeoutSeconds"] = self.seconds
        self._machine = self.stack.client("stepfunctions").create_state_machine(
            name=self.name, definition=json.dumps(states), roleArn="arn:aws:iam::000000000000:role/machine"
        )["stateMachineArn"]

    @property
    def _has_unavailable(self) -> bool:
        return "Unavailable" in json.dumps(self.answers)

    def start(self) -> str:
        request = {
            "id": "card-fraud-000001",
            "endpoint": "card-fraud",
            "champion": "card-fraud@1",
            "sql": "x" * 999,
        }
        started = self.stack.client("stepfunctions").start_execution(
            stateMachineArn=self._machine, input=json.dumps(request)
        )
        return str(started["executionArn"])

    def end(self, execution: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            found = self.stack.client("stepfunctions").describe_execution(executionArn=execution)
            return None if found["status"] == "RUNNING" else dict(found)

        return eventually(ended, "the execution ends", seconds=90)

    def run(self) -> dict[str, Any]:
        return self.end(self.start())

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().split() if file.exists() else []

    @property
    def told(self) -> list[tuple[str, str]]:
        """Subjects and texts of the messages to people."""
        received = self.stack.client("sqs").receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        bodies = [json.loads(message["Body"]) for message in received.get("Messages", ())]
        return [(body["Subject"], body["Message"]) for body in bodies]

    def _function(self, step: str) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("handler.py", STUB)
        created = self.stack.client("lambda").create_function(
            FunctionName=f"{self.name}-{step}",
            Runtime=load_stage("local").runtime,
            Handler="handler.lambda_handler",
            Role="arn:aws:iam::000000000000:role/stub",
            Code={"ZipFile": archive.getvalue()},
            Timeout=60,
            Environment={
                "Variables": {
                    "STEP": step,
                    "CALLS": str(self.folder / "calls"),
                    "ANSWERS": json.dumps(self.answers),
                }
            },
        )
        return str(created["FunctionArn"])

    def _arn(self, queue: str) -> str:
        answer = self.stack.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])


MakeMachine = Callable[..., Machine]


@pytest.fixture
def make_machine(local_stack: LocalStack, tmp_path: Path) -> MakeMachine:
    def make(**bent: Any) -> Machine:
        more = {name: bent.pop(name) for name in ("training", "seconds") if name in bent}
        return Machine(local_stack, tmp_path, {**SOUND, **bent}, **more)

    return make


def test_a_request_goes_to_its_end_and_people_are_told(make_machine: MakeMachine) -> None:
    machine = make_machine()
    ended = machine.run()
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"]) == {"id": "card-fraud-000001", "ending": SHADOW["ending"]}
    assert machine.calls == ["claim", "export", "train", "candidate"]
    assert machine.told == [(SHADOW["subject"], SHADOW["text"])]


def test_a_request_that_another_execution_has_ends_at_once_and_nobody_is_told(
    make_machine: MakeMachine,
) -> None:
    machine = make_machine(claim=[{"mine": False}])
    assert machine.run()["status"] == "SUCCEEDED"
    assert machine.calls == ["claim"]
    assert machine.told == []


def test_too_few_rows_end_it_politely_before_anything_is_trained(make_machine: MakeMachine) -> None:
    machine = make_machine(export=[{"enough": False, "ended": TOO_FEW}])
    ended = machine.run()
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"])["ending"]["kind"] == "too_few_rows"
    assert machine.calls == ["claim", "export"]
    assert machine.told == [("Too few", "There are 3.")]


@pytest.mark.parametrize("step", list(SOUND))
def test_whatever_fails_is_the_one_cause_and_people_are_told_of_it(
    make_machine: MakeMachine, step: str
) -> None:
    sentence = f"The {step} cannot be done: 'card' \\ {{x}}."
    machine = make_machine(**{step: [{"error": "InvalidData", "says": sentence}]})
    ended = machine.run()
    assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", ANY_ERROR, sentence)
    assert machine.calls == list(SOUND)[: list(SOUND).index(step) + 1]
    ((subject, text),) = machine.told
    assert subject == "[local] card-fraud: retraining has failed"
    assert sentence in text
    assert "quicksilver retrain show card-fraud-000001" in text


@pytest.mark.parametrize("step", list(SOUND))
def test_what_is_unavailable_is_tried_again_until_it_is_there(make_machine: MakeMachine, step: str) -> None:
    machine = make_machine(**{step: [{"error": "Unavailable", "says": "Gone."}, *SOUND[step]]})
    assert machine.run()["status"] == "SUCCEEDED"
    assert machine.calls.count(step) == 2
    assert len(machine.told) == 1


def test_what_stays_unavailable_fails_in_the_end(make_machine: MakeMachine) -> None:
    machine = make_machine(train=[{"error": "Unavailable", "says": "Gone."}])
    ended = machine.run()
    assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", ANY_ERROR, "Gone.")
    assert machine.calls.count("train") == 3
    assert "candidate" not in machine.calls


def test_a_step_that_takes_too_long_fails_and_is_told(make_machine: MakeMachine) -> None:
    machine = make_machine(train=[{"sleep": 4}], seconds=2)
    ended = machine.run()
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")
    assert ended["cause"]
    assert len(machine.told) == 1


# -- trained elsewhere, by an event and its answer --


@pytest.fixture
def wanted(local_stack: LocalStack) -> Callable[[], dict[str, Any]]:
    """The next event that asks somebody to train."""
    name = f"wanted-{uuid4().hex[:12]}"
    sqs, events = local_stack.client("sqs"), local_stack.client("events")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["quicksilver"], "detail-type": ["TrainingWanted"]}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def received() -> dict[str, Any] | None:
        for message in sqs.receive_message(QueueUrl=queue).get("Messages", ()):
            detail: dict[str, Any] = json.loads(message["Body"])["detail"]
            return detail
        return None

    return lambda: eventually(received, "somebody is asked to train")


def test_a_webhook_is_asked_and_answers_with_its_token(
    make_machine: MakeMachine, wanted: Callable[[], dict[str, Any]], local_stack: LocalStack
) -> None:
    machine = make_machine(training=WebhookTraining())
    execution = machine.start()
    detail = wanted()
    assert detail["workspace"] == "s3://archive/training/card-fraud/card-fraud-000001/"
    assert (detail["id"], detail["endpoint"], detail["champion"]) == (
        "card-fraud-000001",
        "card-fraud",
        "card-fraud@1",
    )
    local_stack.client("stepfunctions").send_task_success(taskToken=detail["task_token"], output="{}")
    assert machine.end(execution)["status"] == "SUCCEEDED"
    assert machine.calls == ["claim", "export", "candidate"]


def test_a_webhook_that_cannot_train_says_why(
    make_machine: MakeMachine, wanted: Callable[[], dict[str, Any]], local_stack: LocalStack
) -> None:
    machine = make_machine(training=WebhookTraining())
    execution = machine.start()
    local_stack.client("stepfunctions").send_task_failure(
        taskToken=wanted()["task_token"], error="NoCapacity", cause="No machine is free."
    )
    ended = machine.end(execution)
    assert (ended["error"], ended["cause"]) == ("NoCapacity", "No machine is free.")
    assert "No machine is free." in machine.told[0][1]
