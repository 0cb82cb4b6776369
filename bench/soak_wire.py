"""The wire between Lambda functions and the emulator: forwards each call, and is where registry, features or stream go away.

A function knows nothing of it but an address. What an outage is about is told from the call itself: the service it is for and
the table it names.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Mapping
from urllib.parse import urlsplit

from bench.loopback_http import Answer, LoopbackServer, Request
from bench.soak_schedule import Kind, Outage, Target

HANG_SECONDS = 30
"""Longer than any function waits."""
FORWARD_SECONDS = 60

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_TARGET = "x-amz-target"


class Wire:
    """``injected`` counts the calls that met with an outage, ``forwarded`` all that reached the emulator."""

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.forwarded = 0
        self._upstream = ("", 0)
        self._tables: Mapping[Target, bytes] = {}
        self._outage: Outage | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._server = LoopbackServer(self._answer)

    def before(self, upstream_url: str) -> str:
        """Stand before an address from now on; returns the wire's own."""
        parts = urlsplit(upstream_url)
        self._upstream = (str(parts.hostname), parts.port or 80)
        self._server.start()
        return f"http://{self._server.address}"

    def knows(self, tables: Mapping[Target, str]) -> None:
        """Which table is whose."""
        self._tables = {target: json.dumps(name).encode() for target, name in tables.items()}

    def fail(self, outage: Outage) -> None:
        """Begin an outage."""
        with self._lock:
            self._over = threading.Event()
            self._outage = outage

    def heal(self) -> None:
        """End the outage, if there is one: what still hangs ends unanswered."""
        with self._lock:
            self._outage = None
            self._over.set()

    def stop(self) -> None:
        self.heal()
        self._server.stop()

    def _answer(self, request: Request) -> Answer | None:
        with self._lock:
            outage, over = self._outage, self._over
            if outage is None or self._target(request) is not outage.target:
                outage = None
                self.forwarded += 1
            else:
                self.injected[str(outage)] += 1
        return self._forward(request) if outage is None else self._failed(outage, over, request)

    def _failed(self, outage: Outage, over: threading.Event, request: Request) -> Answer | None:
        match outage.kind:
            case Kind.CUT:
                return None
            case Kind.ERRORS:
                return _error(outage.target)
            case Kind.UNACKNOWLEDGED:
                self._forward(request)
        over.wait(HANG_SECONDS)
        return None

    def _target(self, request: Request) -> Target | None:
        operation = request.headers.get(_TARGET, "")
        if operation.startswith("Kinesis_"):
            return Target.STREAM
        if operation.startswith("DynamoDB_"):
            return next((target for target, name in self._tables.items() if name in request.body), None)
        return None

    def _forward(self, request: Request) -> Answer | None:
        connection = http.client.HTTPConnection(*self._upstream, timeout=FORWARD_SECONDS)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name not in _HOP and name != "expect":
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None  # the emulator did not answer, so neither does the wire
        finally:
            connection.close()
        headers = {name: value for name, value in response.getheaders() if name.lower() not in _HOP}
        if request.method == "HEAD":
            headers["Content-Length"] = response.getheader("Content-Length", "0")
        return Answer(response.status, body, headers)


def _error(target: Target) -> Answer:
    """What AWS says when it is AWS that fails."""
    kind, status = ("InternalFailure", 500) if target is Target.STREAM else ("InternalServerError", 500)
    body = json.dumps({"__type": kind, "message": "The request could not be processed."}).encode()
    return Answer(status, body, {"Content-Type": "application/x-amz-json-1.0"})
