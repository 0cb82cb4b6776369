"""The Runtime API that functions are measured under behaves as Lambda's does."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bench.runtime_api import RuntimeApi, RuntimeFailed

NEXT = "/2018-06-01/runtime/invocation/next"


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        yield api


class Caller:
    """A runtime or an extension, speaking over one connection."""

    def __init__(self, api: RuntimeApi) -> None:
        self._connection = http.client.HTTPConnection(api.address, timeout=10)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, json.dumps(body), named)
        response = self._connection.getresponse()
        return response.status, response.headers, json.loads(response.read())

    def register(self, *events: str) -> tuple[int, Any, Any]:
        return self.call(
            "POST", "/2020-01-01/extension/register", {"events": events}, Lambda_Extension_Name="test"
        )

    def respond(self, request_id: str, body: Any) -> int:
        return self.call("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", body)[0]


class Background:
    """A call that blocks, in a thread of its own."""

    def __init__(self, call: Any) -> None:
        self._call, self._result = call, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(http.client.HTTPException, OSError):  # the API stopped: the test is over
            self._result = self._call()

    def result(self) -> Any:
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self._result


def test_an_environment_is_busy_until_runtime_and_extension_have_asked_for_the_next(api: RuntimeApi) -> None:
    # Given a runtime and an extension, both waiting
    runtime, extension = Caller(api), Caller(api)
    identifier = extension.register("INVOKE")[1]["Lambda-Extension-Identifier"]

    def extension_next() -> Any:
        return extension.call(
            "GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier=identifier
        )

    handed, told = Background(lambda: runtime.call("GET", NEXT)), Background(extension_next)
    api.wait_frozen()
    # When an invocation is answered and the runtime asks for the next one
    invocation = api.begin({"n": 1})
    _, headers, event = handed.result()
    assert event == {"n": 1}
    assert told.result()[2]["eventType"] == "INVOKE"
    assert runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], {"ok": True}) == 202
    assert invocation.wait_answered() == {"ok": True}
    Background(lambda: runtime.call("GET", NEXT))
    # Then it is over only when the extension has asked too
    assert not api.frozen
    assert not invocation.over.is_set()
    Background(extension_next)
    result = invocation.wait_over()
    assert 0 < result.response_us < result.busy_us
    assert api.frozen


def test_an_internal_extension_is_refused_shutdown_events(api: RuntimeApi) -> None:
    status, _, problem = Caller(api).register("INVOKE", "SHUTDOWN")
    assert (status, problem["errorType"]) == (403, "ShutdownEventNotSupportedForInternalExtension")
    assert api.extensions == ()


def test_extensions_register_in_the_init_phase_only(api: RuntimeApi) -> None:
    Background(lambda: Caller(api).call("GET", NEXT))
    api.wait_frozen()
    assert Caller(api).register("INVOKE")[0] == 403


def test_an_unknown_extension_and_a_stale_response_are_refused(api: RuntimeApi) -> None:
    caller = Caller(api)
    assert caller.call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier="x")[0] == 403
    assert caller.respond("00000000", {}) == 400


def test_a_function_that_fails_at_init_is_reported(api: RuntimeApi) -> None:
    Caller(api).call("POST", "/2018-06-01/runtime/init/error", {"errorMessage": "no table"})
    with pytest.raises(RuntimeFailed, match="no table"):
        api.wait_frozen()


def test_an_emulator_without_extensions_says_not_found() -> None:
    with RuntimeApi(extensions=False) as api:
        assert Caller(api).register("INVOKE")[0] == 404
