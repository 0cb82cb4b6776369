"""A rollout on the deployed stage: looked at by the function, decided through the API, announced on bus and topic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from quicksilver.announcements import DetailType
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.rollout_report import read_report
from quicksilver.errors import NotFound
from quicksilver.guard_policy import Guards
from quicksilver.reports.rollout_decisions import Standing
from quicksilver.reports.rollout_page import render_rollout
from tests.local_stack import eventually

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.routing import Route
    from tests.conftest import Trained
    from tests.local_stack import LocalStack

ENDPOINT = "card-fraud"

FEW = Guards(min_requests=20)


class Heard:
    """What a stage's bus and topic said since this began to listen, by way of two queues."""

    def __init__(self, stack: LocalStack) -> None:
        self._sqs = stack.client("sqs")
        name = f"heard-{uuid4()}"
        urls = {
            kind: self._sqs.create_queue(QueueName=f"{name}-{kind}")["QueueUrl"] for kind in ("bus", "topic")
        }
        arns = {kind: self._arn(url) for kind, url in urls.items()}
        self._urls = urls
        pattern = json.dumps({"source": ["quicksilver"]})
        events = stack.client("events")
        events.put_rule(Name=name, EventPattern=pattern)
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arns["bus"]}])
        stack.client("sns").subscribe(
            TopicArn=stack.outputs["AnnouncementsTopic"], Protocol="sqs", Endpoint=arns["topic"]
        )
        self.events: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []

    def listen(self) -> None:
        self.events += self._received("bus")
        self.messages += self._received("topic")

    def _received(self, kind: str) -> Iterator[dict[str, Any]]:
        url = self._urls[kind]
        while batch := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                yield json.loads(message["Body"])
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _arn(self, url: str) -> str:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])


def look(stack: LocalStack) -> str:
    """One run of the function, as the schedule's; what came of the endpoint."""
    return str(stack.invoke(stack.function("rollout"), {})[ENDPOINT])


def send(stack: LocalStack, body: dict[str, Any], requests: int) -> set[str]:
    """So many requests, each of another entity; which model versions answered."""
    answers = [stack.score({**body, "entity_id": f"card_{uuid4()}"}) for _ in range(requests)]
    assert {answer.status for answer in answers} == {200}
    return {answer.content["model"] for answer in answers}


def start(stack: LocalStack, package: Package, steps_bp: tuple[int, ...]) -> Route:
    canary = stack.approve(package)
    return grace(stack).registry.start_rollout(
        ENDPOINT, canary, steps_bp=steps_bp, bake_seconds=1, guards=FEW, reason="It passed."
    )


def grace(stack: LocalStack) -> DeployedStage:
    return stack.as_("grace")


@pytest.fixture
def twin(trained: Trained) -> Package:
    """Another model version, of the champion's own trees: its guards have nothing to find."""
    return trained.pack(metrics={"auc": 0.9, "twin": 1.0})


@pytest.fixture
def ended(stack: LocalStack) -> Iterator[None]:
    """No rollout is left running for the next test."""
    yield
    with suppress(NotFound):
        grace(stack).registry.abort_rollout(ENDPOINT, reason="The test is over.")


def test_a_rollout_completes_by_looks_alone_and_everything_is_announced(
    stack: LocalStack, twin: Package, request_body: dict[str, Any], ended: None
) -> None:
    # Given a stage whose history has been announced so far, and a champion with some traffic
    stack.approve(twin)
    look(stack)
    heard = Heard(stack)
    send(stack, request_body, 110)
    # When a rollout of two steps is started, and the stage has traffic and is looked at
    started = start(stack, twin, (5_000, 10_000))
    assert started.rollout is not None
    canary = started.rollout.model

    def champion() -> str | None:
        send(stack, request_body, 20)
        look(stack)
        route = stack.registry.current_route(ENDPOINT)
        return None if route.rollout else route.champion.model

    # Then the canary becomes the champion
    ended_by = eventually(champion, "the rollout has ended", seconds=120)
    assert ended_by == canary, list(stack.registry.history(ENDPOINT))[-1].details["rollout"]["look"]
    # And the function decided it, under its own name, with the numbers
    entry = list(stack.registry.history(ENDPOINT))[-1]
    assert entry.details["rollout"]["move"] == "completed"
    assert entry.details["rollout"]["look"]["canary_requests"] >= 20
    assert "user/" not in entry.who
    # And all of it is on the bus and on the topic
    look(stack)

    def told() -> bool:
        heard.listen()
        ids = {event["detail"]["id"] for event in heard.events}
        return f"{ENDPOINT}/{entry.number}" in ids

    eventually(told, "the bus has the last entry")
    since = next(
        said.number
        for said in stack.registry.history(ENDPOINT)
        if said.details.get("route", {}).get("number") == started.number
    )
    expected = {f"{ENDPOINT}/{number}" for number in range(since, entry.number + 1)}
    assert expected <= {event["detail"]["id"] for event in heard.events}
    assert {event["detail-type"] for event in heard.events} >= {
        DetailType.ROUTE_CHANGED,
        DetailType.ROLLOUT_DECISION,
    }
    subjects = [message["Subject"] for message in heard.messages]
    assert any(f"rollout {started.number} completed; {canary} 100 %" in subject for subject in subjects)
    # And the report on it, of the deployed rollup and the registry behind its API, tells all of it
    said = read_report(stack, ENDPOINT, started.number, now_ms=SystemClock().now_ms())
    assert said.standing is Standing.COMPLETED
    assert [each.entry for each in said.decisions][-1] == entry.number
    arm, beside = said.arms
    assert arm.requests >= entry.details["rollout"]["look"]["canary_requests"], "late records come later"
    assert beside.requests > 0
    assert all(series.points for series in said.guards)
    assert render_rollout(said).count("data:image/svg+xml") == 8


def test_an_abort_is_in_the_registry_at_once_and_answered_by_within_seconds(
    stack: LocalStack, twin: Package, request_body: dict[str, Any], ended: None
) -> None:
    champion = stack.registry.current_route(ENDPOINT).champion.model
    start(stack, twin, (5_000, 10_000))
    eventually(lambda: len(send(stack, request_body, 12)) == 2, "both arms answer", seconds=30)
    route = grace(stack).registry.abort_rollout(ENDPOINT, reason="Complaints.")
    assert [(arm.model, arm.share_bp) for arm in route.arms] == [(champion, 10_000)]
    assert stack.registry.current_route(ENDPOINT) == route
    eventually(
        lambda: send(stack, request_body, 12) == {champion}, "the champion answers everyone", seconds=15
    )
    assert look(stack) == "no rollout"
