"""An HTTP server in a thread that says exactly what it is told to, and breaks where it is told to break."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from threading import Event, Lock, Thread
from typing import Any


class Then(Enum):
    """What becomes of the connection behind what was sent."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"
    DRIP = "drip"  # more bytes, one at a time, for as long as somebody listens


@dataclass(frozen=True)
class Step:
    data: bytes = b""
    then: Then = Then.KEEP


@dataclass(frozen=True)
class Received:
    connection: int
    head: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        lines = [line.partition(":") for line in self.head.split("\r\n")[1:]]
        return {name.lower(): value.strip() for name, _, value in lines}


def answer(content: Any = None, status: int = 200, *, then: Then = Then.KEEP, **headers: str) -> Step:
    """A JSON answer, or one with a body as it is; ``x_amzn_requestid`` is a header's name."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("content-length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return Step(f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + body, then)


@dataclass
class ScriptedServer:
    """``script`` gives the step for each request received, whatever its connection."""

    script: Callable[[Received], Step]
    tls: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopped = Event()
        self._lock = Lock()
        self._connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self._socket.getsockname()[1]}"

    def stop(self) -> None:
        self._stopped.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections += 1
            Thread(target=self._talk, args=(connection, self._connections), daemon=True).start()

    def _talk(self, plain: socket.socket, number: int) -> None:
        try:
            connection = self.tls.wrap_socket(plain, server_side=True) if self.tls else plain
            with connection, connection.makefile("rb") as lines:
                while (request := _read(lines, number)) and self._answer(connection, request):
                    pass
        except OSError:
            plain.close()

    def _answer(self, connection: socket.socket, request: Received) -> bool:
        with self._lock:
            self.received.append(request)
            step = self.script(request)
        connection.sendall(step.data)
        if step.then is Then.HANG:
            self._stopped.wait(30)
        while step.then is Then.DRIP and not self._stopped.wait(0.005):
            connection.sendall(b" ")
        if step.then is Then.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif step.then is Then.CLOSE:
            connection.shutdown(socket.SHUT_RDWR)
        return step.then is Then.KEEP


def _read(lines: Any, number: int) -> Received | None:
    head: list[str] = []
    while line := lines.readline().decode("latin-1").rstrip("\r\n"):
        head.append(line)
    if not head:
        return None
    request = Received(number, "\r\n".join(head), b"")
    return Received(number, request.head, lines.read(int(request.headers.get("content-length", 0))))


def in_turn(*steps: Step) -> Callable[[Received], Step]:
    remaining = iter(steps)
    return lambda _: next(remaining)


@contextmanager
def serving(
    *steps: Step, script: Callable[[Received], Step] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script or in_turn(*steps), tls)
    try:
        yield server
    finally:
        server.stop()


def refused_url() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"
