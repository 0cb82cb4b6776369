"""The soak's wire on real sockets: what it passes on, and how each outage meets those it is about, and nobody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import urllib3

from bench.loopback_http import Answer, LoopbackServer, Request
from bench.soak_schedule import OUTAGES, Kind, Outage, Target
from bench.soak_wire import Wire

TABLES = {Target.REGISTRY: "registry-table", Target.FEATURES: "features-table"}


@dataclass
class Emulator:
    """What stands behind the wire."""

    received: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Answer:
        self.received.append(request)
        return Answer(201, b'{"said": true}', {"X-Amzn-RequestId": "r"})


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def wire(emulator: Emulator) -> Iterator[Wire]:
    server = LoopbackServer(emulator.answer)
    server.start()
    wire = Wire()
    wire.url = wire.before(f"http://{server.address}")  # type: ignore[attr-defined]
    wire.knows(TABLES)
    yield wire
    wire.stop()
    server.stop()


def call(wire: Wire, operation: str, body: object = None, seconds: float = 10) -> urllib3.BaseHTTPResponse:
    return urllib3.request(
        "POST",
        wire.url,  # type: ignore[attr-defined]
        headers={"X-Amz-Target": operation},
        body=json.dumps(body).encode(),
        retries=False,
        timeout=seconds,
    )


CALLS = {
    Target.REGISTRY: ("DynamoDB_20120810.GetItem", {"TableName": "registry-table"}),
    Target.FEATURES: ("DynamoDB_20120810.BatchGetItem", {"RequestItems": {"features-table": {}}}),
    Target.STREAM: ("Kinesis_20131202.PutRecords", {"StreamName": "predictions"}),
}
OTHERS = {
    "another table": (
        "DynamoDB_20120810.PutItem",
        {"TableName": "features-table-of-another", "Item": "registry-table-2"},
    ),
    "another service": ("TrentService.Verify", {"KeyId": "features-table"}),
}


def test_a_call_is_passed_on_whole_and_so_is_its_answer(wire: Wire, emulator: Emulator) -> None:
    answer = call(wire, *CALLS[Target.STREAM])
    assert (answer.status, answer.json(), answer.headers["X-Amzn-RequestId"]) == (201, {"said": True}, "r")
    (request,) = emulator.received
    assert (request.method, json.loads(request.body)) == ("POST", {"StreamName": "predictions"})
    assert request.headers["x-amz-target"] == "Kinesis_20131202.PutRecords"


@pytest.mark.parametrize("outage", [each for each in OUTAGES if each.kind is Kind.CUT], ids=str)
def test_an_outage_is_about_its_target_alone(wire: Wire, outage: Outage) -> None:
    wire.fail(outage)
    for target, made in CALLS.items():
        if target is outage.target:
            with pytest.raises(urllib3.exceptions.ProtocolError):
                call(wire, *made)
        else:
            assert call(wire, *made).status == 201
    assert [call(wire, *made).status for made in OTHERS.values()] == [201, 201]
    assert wire.injected == {str(outage): 1}
    wire.heal()
    assert call(wire, *CALLS[outage.target]).status == 201


@pytest.mark.parametrize("target", Target)
def test_errors_are_in_awss_own_form(wire: Wire, emulator: Emulator, target: Target) -> None:
    wire.fail(Outage(target, Kind.ERRORS))
    answer = call(wire, *CALLS[target])
    assert answer.status == 500
    assert {"__type", "message"} == {*answer.json()}
    assert emulator.received == []


@pytest.mark.parametrize(("kind", "done"), [(Kind.HANGS, 0), (Kind.UNACKNOWLEDGED, 1)])
def test_what_hangs_says_nothing_until_it_is_over(
    wire: Wire, emulator: Emulator, kind: Kind, done: int
) -> None:
    wire.fail(Outage(Target.STREAM, kind))
    with pytest.raises(urllib3.exceptions.TimeoutError):
        call(wire, *CALLS[Target.STREAM], seconds=0.2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, wire, *CALLS[Target.STREAM])
        while wire.injected.total() < 2:
            threading.Event().wait(0.01)
        assert not waiting.done()
        wire.heal()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            waiting.result(10)
    # Of an unacknowledged call all is done but the answer.
    assert len(emulator.received) == 2 * done


def test_an_emulator_that_is_gone_answers_nothing() -> None:
    wire = Wire()
    server = LoopbackServer(lambda _: None)
    wire.url = wire.before(f"http://{server.address}")  # type: ignore[attr-defined]
    server.start()
    server.stop()
    with pytest.raises(urllib3.exceptions.ProtocolError):
        call(wire, *CALLS[Target.STREAM])
    wire.stop()
