"""Lambda's Runtime API and Extensions API on loopback, for one execution environment: what a function is measured under.

It hands out one invocation at a time, and the next only when the runtime and every extension have asked for
it: between the response and that moment the environment is busy, as it is on AWS.

    next (runtime) ─┐
    next (extension)┴─ idle ─ invoke ─> INVOKE to both ─> response ─> next from both ─> idle
                                        └─ response_us ─┘
                                        └──────────────── busy_us ──────────────┘

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html

Times are taken when a response's first byte arrives, so the server's own share of them is small.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from bench.loopback_http import Answer, LoopbackServer, Request


class Moment(NamedTuple):
    """Something the function did, and when (monotonic ns): ``response``, ``extension next`` ..."""

    name: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """What one invocation gave. ``body`` is the parsed response, or the error the runtime reported."""

    body: Any
    failed: bool
    response_us: float
    """From handing the event out until the response began to arrive: what a caller waits for."""
    busy_us: float
    """Until the runtime and every extension asked for the next one: what is billed."""


class RuntimeFailed(Exception):
    """The runtime or an extension reported an error, or did not come back in time."""


@dataclass
class Invocation:
    """One invocation under way."""

    id: str
    event: bytes
    deadline_ms: int
    answered: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    body: Any = None
    failed: bool = False
    handed_out_ns: int = 0
    answered_ns: int = 0
    over_ns: int = 0

    def wait_answered(self, timeout: float = 10) -> Any:
        """The response's body, while the environment may still be busy."""
        if not self.answered.wait(timeout):
            raise RuntimeFailed("no response in time")
        return self.body

    def wait_over(self, timeout: float = 10) -> InvocationResult:
        self.wait_answered(timeout)
        if not self.over.wait(timeout):
            raise RuntimeFailed("the environment is still busy")
        return InvocationResult(
            self.body,
            self.failed,
            (self.answered_ns - self.handed_out_ns) / 1_000,
            (self.over_ns - self.handed_out_ns) / 1_000,
        )


@dataclass
class _Extension:
    name: str
    invoked: bool  # subscribed to INVOKE
    waiting: bool = False
    event: Invocation | None = None


class RuntimeApi:
    """The two APIs of one execution environment. ``extensions=False`` is an emulator that has no Extensions API."""

    def __init__(self, *, extensions: bool = True, timeout_seconds: float = 16) -> None:
        self.moments: list[Moment] = []
        self._offers_extensions = extensions
        self._timeout_seconds = timeout_seconds
        self._changed = threading.Condition()
        self._extensions: dict[str, _Extension] = {}
        self._runtime_waiting = False
        self._runtime_event: Invocation | None = None
        self._current: Invocation | None = None
        self._initialized = False
        self._snapshotted = False
        self._restored = False
        self._failure = ""
        self._stopped = False
        self._server = LoopbackServer(self._answer)

    # --- for whoever invokes -----------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """What ``AWS_LAMBDA_RUNTIME_API`` wants: host and port."""
        return self._server.address

    def start(self) -> Self:
        self._server.start()
        return self

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def frozen(self) -> bool:
        """Whether Lambda would freeze the environment now: init is over, or a snapshot due, and nobody works."""
        return self._snapshotted or (self._initialized and self._current is None)

    @property
    def extensions(self) -> tuple[str, ...]:
        """The names of the extensions registered."""
        return tuple(extension.name for extension in self._extensions.values())

    def wait_frozen(self, timeout: float = 30) -> None:
        """Wait for the end of the init phase, or of the invocation under way."""
        with self._changed:
            ended = self._changed.wait_for(lambda: self.frozen or bool(self._failure), timeout)
            if self._failure or not ended:
                raise RuntimeFailed(self._failure or "the environment is still busy")

    def restore(self) -> None:
        """Go on from the snapshot that SnapStart has taken of a function that asked for it, and wait until it is ready."""
        with self._changed:
            self._snapshotted, self._restored = False, True
            self._changed.notify_all()
        self.wait_frozen()

    def begin(self, event: Mapping[str, Any], timeout: float = 30) -> Invocation:
        """Hand an event out as soon as the environment is free for it."""
        deadline_ms = time.time_ns() // 1_000_000 + int(self._timeout_seconds * 1_000)
        invocation = Invocation(str(uuid.uuid4()), json.dumps(event).encode(), deadline_ms)
        with self._changed:
            self.wait_frozen(timeout)
            self._current = self._runtime_event = invocation
            self._runtime_waiting = False
            for extension in self._extensions.values():
                if extension.invoked:
                    extension.event, extension.waiting = invocation, False
            self._changed.notify_all()
        return invocation

    def invoke(self, event: Mapping[str, Any], timeout: float = 30) -> InvocationResult:
        """Invoke once and wait until the environment is free again."""
        return self.begin(event, timeout).wait_over(timeout)

    # --- for the function --------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Answer | None:
        """Answer one request; ``None`` where the server stopped meanwhile."""
        path = request.path.partition("?")[0]
        if path.startswith("/2020-01-01/extension/") and not self._offers_extensions:
            return _error(404, "NotFound", "There is no Extensions API.")
        match request.method, path:
            case "GET", "/2018-06-01/runtime/invocation/next":
                return self._runtime_next(request)
            case "GET", "/2018-06-01/runtime/restore/next":
                return self._restore_next(request)
            case "POST", "/2018-06-01/runtime/restore/error":
                return self._fail("restore error", request)
            case "POST", "/2018-06-01/runtime/init/error":
                return self._fail("init error", request)
            case "POST", "/2020-01-01/extension/register":
                return self._register(request)
            case "GET", "/2020-01-01/extension/event/next":
                return self._extension_next(request)
            case "POST", "/2020-01-01/extension/init/error" | "/2020-01-01/extension/exit/error":
                return self._fail(f"extension {path.removeprefix('/2020-01-01/extension/')}", request)
        parts = path.removeprefix("/2018-06-01/runtime/invocation/").split("/")
        if request.method == "POST" and len(parts) == 2 and parts[1] in ("response", "error"):
            return self._response(parts[0], request, failed=parts[1] == "error")
        return _error(404, "NotFound", path)

    def _runtime_next(self, request: Request) -> Answer | None:
        with self._changed:
            self._note("next", request)
            self._runtime_waiting = True
            self._settle(request)
            self._changed.wait_for(lambda: self._runtime_event is not None or self._stopped)
            invocation, self._runtime_event = self._runtime_event, None
        if invocation is None:
            return None
        invocation.handed_out_ns = time.perf_counter_ns()
        return Answer(
            200,
            invocation.event,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": _ARN,
                "Lambda-Runtime-Trace-Id": _TRACE,
            },
        )

    def _restore_next(self, request: Request) -> Answer | None:
        with self._changed:
            self._note("restore next", request)
            self._snapshotted = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._restored or self._stopped)
        return Answer(200, b"{}", {}) if self._restored else None

    def _response(self, id: str, request: Request, *, failed: bool) -> Answer:
        with self._changed:
            self._note("error" if failed else "response", request)
            invocation = self._current
            if invocation is None or invocation.id != id or invocation.answered.is_set():
                return _error(400, "InvalidRequestID", "Invalid request ID")
            invocation.failed = failed
            invocation.answered_ns = request.at_ns
            invocation.body = json.loads(request.body)
            invocation.answered.set()
        return _accepted()

    def _register(self, request: Request) -> Answer:
        name = request.headers.get("lambda-extension-name", "")
        events = json.loads(request.body or b"{}").get("events", [])
        with self._changed:
            self._note("register", request)
            if self._initialized or self._current is not None:
                return _error(403, "Extension.RegistrationClosed", "Extensions register in the init phase.")
            if not name:
                return _error(403, "Extension.InvalidExtensionName", "Empty extension name")
            if "SHUTDOWN" in events:
                # Every extension here is internal: it is registered from within the runtime's process.
                return _error(
                    403,
                    "ShutdownEventNotSupportedForInternalExtension",
                    "Internal extensions can't register for SHUTDOWN.",
                )
            identifier = str(uuid.uuid4())
            self._extensions[identifier] = _Extension(name, "INVOKE" in events)
        body = {"functionName": "score", "functionVersion": "1", "handler": "handler.lambda_handler"}
        return Answer(200, json.dumps(body).encode(), {"Lambda-Extension-Identifier": identifier})

    def _extension_next(self, request: Request) -> Answer | None:
        with self._changed:
            self._note("extension next", request)
            extension = self._extensions.get(request.headers.get("lambda-extension-identifier", ""))
            if extension is None:
                return _error(403, "Extension.UnknownExtensionIdentifier", "Unknown extension")
            extension.waiting = True
            self._settle(request)
            self._changed.wait_for(lambda: extension.event is not None or self._stopped)
            invocation, extension.event = extension.event, None
        if invocation is None:
            return None
        event = {
            "eventType": "INVOKE",
            "deadlineMs": invocation.deadline_ms,
            "requestId": invocation.id,
            "invokedFunctionArn": _ARN,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": _TRACE},
        }
        return Answer(
            200, json.dumps(event).encode(), {"Lambda-Extension-Event-Identifier": str(uuid.uuid4())}
        )

    def _fail(self, what: str, request: Request) -> Answer:
        with self._changed:
            self._note(what, request)
            self._failure = f"{what}: {request.body.decode(errors='replace')[:2_000]}"
            self._changed.notify_all()
        return _accepted()

    def _settle(self, request: Request) -> None:
        """Everyone has asked for the next invocation: the init phase or the invocation is over."""
        if not (self._runtime_waiting and all(extension.waiting for extension in self._extensions.values())):
            return
        self._initialized = True
        if self._current is not None:
            self._current.over_ns = request.at_ns
            self._current.over.set()
            self._current = None
        self._changed.notify_all()

    def _note(self, name: str, request: Request) -> None:
        self.moments.append(Moment(name, request.at_ns))


_ARN = "arn:aws:lambda:us-east-1:000000000000:function:score:1"
_TRACE = "Root=1-00000000-000000000000000000000000;Sampled=0"


def _accepted() -> Answer:
    return Answer(202, b'{"status":"OK"}', {})


def _error(status: int, type: str, message: str) -> Answer:
    return Answer(status, json.dumps({"errorType": type, "errorMessage": message}).encode(), {})
