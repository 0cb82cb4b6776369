"""HTTP/1.1 requests and answers as they go over the wire: as little of it as AWS's APIs need.

An answer is whole or an error. The standard library's client parses headers as an e-mail and allows a time for
each read only: it costs 170 us of CPU a call where this costs 20 us (measured on one stub server, medians).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_MAX_HEAD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class EndedEarly(Exception):
    """The peer closed before its answer was whole."""


def wire_request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A request as it goes over the wire. Raises ``ValueError`` for a header that would end its line."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines)
    if not head.count("\n") == head.count("\r") == len(lines) - 1:
        raise ValueError("A header holds a line break.")
    # Compressed answers would have to be unpacked, and these are small.
    rest = f"accept-encoding: identity\r\nuser-agent: quicksilver\r\ncontent-length: {len(body)}"
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n{rest}\r\n\r\n".encode("latin-1") + body


class AnswerReader:
    """Reads one answer by ``receive()``, which gives some bytes, or none when the peer has no more.

    ``started``: a byte of an answer has come. ``reusable``: the answer was whole, and the peer stays.
    """

    def __init__(self, receive: Callable[[], bytes], max_body_bytes: int) -> None:
        self._receive = receive
        self._max_body_bytes = max_body_bytes
        self._buffer = b""
        self.started = self.reusable = False

    def read(self) -> Answer:
        """Raises ``EndedEarly``, and ``ValueError`` for what is no answer or too large."""
        while True:
            status, headers = _parse_head(self._until(b"\r\n\r\n"))
            if status >= 200:  # 1xx announces the answer and is none
                break
        if status in (204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._chunks()
        elif (length := headers.get("content-length")) is not None:
            if not length.isdecimal():
                raise ValueError("The answer's length is not a number.")
            body = self._exactly(int(length))
        else:
            body = self._rest()
            headers["connection"] = "close"
        # Bytes behind the answer belong to nothing that was asked.
        self.reusable = headers.get("connection", "").lower() != "close" and not self._buffer
        return Answer(status, headers, body)

    def _some(self) -> bytes:
        data = self._receive()
        if not data:
            raise EndedEarly
        self.started = True
        return data

    def _until(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise ValueError("The answer's head does not end.")
            self._buffer += self._some()
        found, self._buffer = self._buffer[:at], self._buffer[at + len(end) :]
        return found

    def _exactly(self, length: int) -> bytes:
        self._check_size(length)
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        if len(found) == length:
            return found
        parts, missing = [found], length - len(found)
        while missing:
            data = self._some()
            parts.append(data[:missing])
            self._buffer = data[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def _chunks(self) -> bytes:
        parts, total = [], 0
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            total += size
            self._check_size(total)
            parts.append(self._exactly(size))
            if self._exactly(2) != b"\r\n":
                raise ValueError("A chunk of the answer is longer than it says.")
        while self._until(b"\r\n"):  # trailers
            pass
        return b"".join(parts)

    def _rest(self) -> bytes:
        parts = [self._buffer]
        total, self._buffer = len(self._buffer), b""
        while data := self._receive():
            parts.append(data)
            total += len(data)
            self._check_size(total)
        return b"".join(parts)

    def _check_size(self, length: int) -> None:
        if not 0 <= length <= self._max_body_bytes:
            raise ValueError(f"The answer is larger than {self._max_body_bytes} bytes.")


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    protocol, _, rest = first.partition(" ")
    if not protocol.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise ValueError("The answer is not HTTP/1.")
    headers = {} if protocol == "HTTP/1.1" else {"connection": "close"}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(rest[:3]), headers
