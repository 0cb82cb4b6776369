"""A small HTTP server on 127.0.0.1 for benches and tests: threads, kept connections, no Nagle delay.

Requests are parsed by hand, which costs some tens of microseconds where ``http.server`` takes hundreds:
what is measured is the client.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Request(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    at_ns: int
    """When its first byte was read (``perf_counter_ns``)."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    """Whether the connection is reset in the middle of it."""


class LoopbackServer:
    """Answers requests by a function, each connection in a thread. ``None`` closes the connection unanswered."""

    def __init__(self, answer: Callable[[Request], Answer | None], port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), answer)
        self.port: int = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], answer: Callable[[Request], Answer | None]) -> None:
        self.answer = answer
        super().__init__(address, _Connection)


class _Connection(socketserver.BaseRequestHandler):
    """One kept connection: requests by ``Content-Length``, each answered by one write."""

    server: _Server
    request: socket.socket
    _unread = b""

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while request := self._read():
                answer = self.server.answer(request)
                if answer is None:
                    return
                data = _serialized(answer)
                if answer.cut:
                    self.request.sendall(data[:-1])
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                self.request.sendall(data)
        except OSError:
            return  # the client is gone; what it did not do, others notice

    def _read(self) -> Request | None:
        data, at_ns = self._unread, time.perf_counter_ns()
        while b"\r\n\r\n" not in data:
            received = self.request.recv(65_536)
            if not received:
                return None
            if not data:
                at_ns = time.perf_counter_ns()
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _version = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("expect", "").lower() == "100-continue":  # botocore asks before it sends an object
            self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(headers.get("content-length", "0"))
        parts, missing = [body], length - len(body)
        while missing > 0:
            received = self.request.recv(65_536)
            if not received:
                return None
            parts.append(received)
            missing -= len(received)
        body = b"".join(parts)
        self._unread = body[length:]
        return Request(method, path, headers, body[:length], at_ns)


def _serialized(answer: Answer) -> bytes:
    headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **answer.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} -\r\n{lines}\r\n".encode("latin-1") + answer.body
