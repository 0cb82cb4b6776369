"""The before-traffic hook's checks on function versions that a Lambda has published, invoked by their numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.aws.lambda_function_versions import LambdaFunctionVersions
from quicksilver.code_release import CHECK
from quicksilver.code_release.before_traffic import BeforeTraffic
from quicksilver.code_release.deployment import Deployment, Releases
from quicksilver.code_release.golden import GoldenRows
from quicksilver.code_release.provisioned import Warmth
from quicksilver.errors import ReleaseRefused, Unavailable
from quicksilver.memory import ManualClock
from tests.code_releases import MemoryConcurrency, saved_event

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

ENDPOINT = "card-fraud"


def published(stack: LocalStack, **variables: str) -> str:
    """Publish the function as it is, with these variables on top; returns the function version's number."""
    client, name = stack.client("lambda"), function(stack)
    configuration = client.get_function_configuration(FunctionName=name)
    client.update_function_configuration(
        FunctionName=name,
        Description=f"test {time.monotonic_ns()}",
        Environment={"Variables": {**configuration["Environment"]["Variables"], **variables}},
    )
    return str(client.publish_version(FunctionName=name)["Version"])


def function(stack: LocalStack) -> str:
    return stack.score_function(ENDPOINT).removesuffix(":live")


@pytest.fixture
def as_before(stack: LocalStack) -> Iterator[None]:
    """Whatever a test publishes, the function is left as it was."""
    client, name = stack.client("lambda"), function(stack)
    before = client.get_function_configuration(FunctionName=name)["Environment"]
    yield
    client.update_function_configuration(FunctionName=name, Environment=before)


def check(stack: LocalStack, current: str, target: str, body: dict[str, Any]) -> list[str]:
    clock = ManualClock()

    def pause(seconds: float) -> None:
        clock.advance_ms(int(seconds * 20_000))  # a minute of patience is three questions

    before_traffic = BeforeTraffic(
        LambdaFunctionVersions(stack.client("lambda")),
        releases=Releases({ENDPOINT: function(stack)}, "live"),
        registry=stack.registry_store,
        golden=GoldenRows(stack.registry_store, stack.artifacts, stack.signer),
        warmth=Warmth(MemoryConcurrency(), clock=clock, pause=pause),
        executions={},
        events={"whole": saved_event(body), "nothing": saved_event({})},
        clock=clock,
        pause=pause,
    )
    return before_traffic.check(Deployment(function(stack), "live", current, target))


@pytest.mark.usefixtures("as_before")
def test_the_same_code_is_let_through_by_the_numbers_of_its_function_versions(
    stack: LocalStack, request_body: dict[str, Any]
) -> None:
    live, new = published(stack), published(stack)
    said = check(stack, live, new, request_body)
    assert said[0].endswith(
        f"golden rows are given bit for bit, 20 of them compared with function version {live}."
    )
    assert said[1].endswith(f"2 saved events are answered as by function version {live}.")
    # Whose answers were compared is what Lambda says, and not what was asked for.
    answer = LambdaFunctionVersions(stack.client("lambda")).ask(
        function(stack), new, {CHECK: {"kind": "presence", "route": 0}}
    )
    assert answer["function_version"] == new


@pytest.mark.usefixtures("as_before")
def test_a_function_version_that_is_configured_wrongly_is_refused(
    stack: LocalStack, request_body: dict[str, Any]
) -> None:
    live, new = published(stack), published(stack, QUICKSILVER_REGISTRY_TABLE="nowhere")
    with pytest.raises(ReleaseRefused, match=f"Function version {new} does not answer by route"):
        check(stack, live, new, request_body)
    deaf = published(stack, QUICKSILVER_REGISTRY_TABLE="")
    with pytest.raises(Unavailable, match=f"Function version {deaf} failed"):
        check(stack, live, deaf, request_body)


def test_an_alias_and_a_version_that_is_not_there(stack: LocalStack) -> None:
    versions = LambdaFunctionVersions(stack.client("lambda"))
    (shares,) = versions.shares(function(stack), "live").values()
    assert shares == 1.0
    with pytest.raises(
        Unavailable, match="Function version 9999 cannot be invoked: ResourceNotFoundException"
    ):
        versions.ask(function(stack), "9999", json.loads("{}"))
