"""The bench's stub of AWS, stocked by the product's own registry, with faults that a test scripts call by call.

with aws.failing("BatchGetItem", throttled):            every call, until the context ends
with aws.in_turn("PutRecords", throttled, error_page):  these two, then as usual
with aws.away("dynamodb"):                              nobody listens
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import repeat
from queue import SimpleQueue
from typing import Any

from bench.loopback_http import Answer, LoopbackServer, Request
from bench.stocking import ARCHIVE, BUCKET, FUNCTION_ENVIRONMENT
from bench.stub_aws import World
from tests.function.faults import Fault

SERVICES = ("dynamodb", "kinesis", "s3", "kms")


class ScriptedAws:
    """DynamoDB, Kinesis, S3 and KMS, each at an address of its own. ``url`` reaches all of them past any fault."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        """Records the stream took."""
        self.kept: dict[str, list[dict[str, Any]]] = {}
        """Records the store took, by key."""
        self.puts: SimpleQueue[int] = SimpleQueue()
        """When each PutRecords arrived (``perf_counter_ns``)."""
        self._world = World()
        self._scripts: dict[str, Iterator[Fault]] = {}
        self._met: SimpleQueue[str] = SimpleQueue()
        self._away: set[str] = set()
        self._over = threading.Event()
        self._servers = {service: self._serve(service) for service in SERVICES}
        self._direct = LoopbackServer(self._world.answer)
        self._direct.start()

    @property
    def url(self) -> str:
        return f"http://{self._direct.address}"

    @property
    def ports(self) -> set[int]:
        return {server.port for server in self._servers.values()}

    @property
    def environment(self) -> dict[str, str]:
        """The score function's variables for this AWS."""
        addresses = {
            f"AWS_ENDPOINT_URL_{service.upper()}": f"http://{server.address}"
            for service, server in self._servers.items()
        }
        return {
            **FUNCTION_ENVIRONMENT,
            **addresses,
            "QUICKSILVER_STAGE": "test",
            "QUICKSILVER_ENDPOINT": "card-fraud",
            "POWERTOOLS_SERVICE_NAME": "score-card-fraud",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def recorded(self) -> list[str]:
        """The prediction id of every record taken or kept, once for each time."""
        return ids([*self.taken, *(record for batch in self.kept.values() for record in batch)])

    def forget(self, given: Collection[str]) -> None:
        """Leave out what was recorded for an environment that a test had to itself."""
        self.taken = [record for record in self.taken if record["prediction_id"] not in given]

    def stop(self) -> None:
        self._over.set()
        for server in (*self._servers.values(), self._direct):
            server.stop()

    def failing(self, operation: str, fault: Fault) -> AbstractContextManager[None]:
        return self.scripted({operation: repeat(fault)})

    def in_turn(self, operation: str, *faults: Fault) -> AbstractContextManager[None]:
        return self.scripted({operation: faults})

    @contextmanager
    def scripted(self, scripts: Mapping[str, Iterable[Fault]]) -> Iterator[None]:
        """What each operation's next calls meet with; when there is no more, it works again."""
        self._met = SimpleQueue()
        self._scripts |= {operation: iter(script) for operation, script in scripts.items()}
        try:
            yield
        finally:
            for operation in scripts:
                del self._scripts[operation]
            self._over.set()
            self._over = threading.Event()

    def wait_for(self, operation: str) -> None:
        """Wait until a call of an operation has met with a fault."""
        while self._met.get(timeout=30) != operation:
            pass

    @contextmanager
    def away(self, service: str) -> Iterator[None]:
        """Nobody listens at a service's address, and connections that were kept are closed."""
        self._away.add(service)
        self._servers[service].stop()
        try:
            yield
        finally:
            self._away.discard(service)
            self._servers[service] = self._serve(service, self._servers[service].port)

    @contextmanager
    def altered(self, package_sha256: str, name: str, data: bytes) -> Iterator[None]:
        """A package's file has other bytes than its manifest says."""
        path = f"/{BUCKET}/packages/{package_sha256}/{name}"
        whole = self._world.answer(Request("GET", path, {}, b"", 0)).body
        self._world.answer(Request("PUT", path, {}, data, 0))
        try:
            yield
        finally:
            self._world.answer(Request("PUT", path, {}, whole, 0))

    def _serve(self, service: str, port: int = 0) -> LoopbackServer:
        server = LoopbackServer(lambda request: self._answer(service, request), port)
        server.start()
        return server

    def _answer(self, service: str, request: Request) -> Answer | None:
        if service in self._away:
            return None
        operation = request.headers.get("x-amz-target", f".{request.method.title()}Object").partition(".")[2]
        if operation == "PutRecords":
            self.puts.put(request.at_ns)
        fault = next(self._scripts.get(operation, iter(())), None)
        if fault is None:
            return self._perform(request)
        over = self._over
        self._met.put(operation)
        return fault(request, self._perform, over)

    def _perform(self, request: Request) -> Answer:
        answer = self._world.answer(request)
        if request.headers.get("x-amz-target", "").endswith(".PutRecords"):
            self.taken += [
                json.loads(base64.b64decode(record["Data"])) for record in json.loads(request.body)["Records"]
            ]
        elif request.method == "PUT" and request.path.startswith(f"/{ARCHIVE}/"):
            key = request.path.removeprefix(f"/{ARCHIVE}/")
            self.kept[key] = [json.loads(line) for line in request.body.splitlines()]
        return answer


def ids(records: list[dict[str, Any]]) -> list[str]:
    return [record["prediction_id"] for record in records]
