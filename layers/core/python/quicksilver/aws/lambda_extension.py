"""An internal extension's side of the Lambda Extensions API, over one kept connection.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import socket

from quicksilver.aws.http_messages import Answer, AnswerReader, EndedEarly, wire_request
from quicksilver.errors import Unavailable

_NAME = "quicksilver"
_REGISTER = "/2020-01-01/extension/register"
_NEXT = "/2020-01-01/extension/event/next"

_REGISTER_SECONDS = 5.0
"""Patient, and within Lambda's 10 s for the init phase: one who is registered and does not know it never asks for
an event, and the environment is lost."""

_ANSWER_SECONDS = 1.0
"""For an answer that is due. The wait for an event is the environment's sleep, and spent without reading."""

_MAX_EVENT_BYTES = 64 * 1024

_BROKEN = (OSError, EndedEarly, ValueError)
"""What reading and writing a connection can end in: the peer, the network, or an answer that is none."""


class LambdaExtension:
    """Told of each invocation. ``register`` makes one."""

    def __init__(self, address: str, identifier: str) -> None:
        self._address = address
        self._request = wire_request(
            "GET", _NEXT, {"host": address, "lambda-extension-identifier": identifier}, b""
        )
        self._connection: socket.socket | None = None

    @classmethod
    def register(cls, address: str) -> LambdaExtension:
        """Register for INVOKE. Raises ``Unavailable`` where the platform has no Extensions API or refuses.

        Not for SHUTDOWN: Lambda refuses it to internal extensions (ShutdownEventNotSupportedForInternalExtension).
        """
        headers = {"host": address, "lambda-extension-name": _NAME, "content-type": "application/json"}
        try:
            with _connect(address, _REGISTER_SECONDS) as connection:
                connection.sendall(wire_request("POST", _REGISTER, headers, b'{"events":["INVOKE"]}'))
                answer = _read(connection)
        except _BROKEN as error:
            raise Unavailable(f"The Extensions API does not answer: {type(error).__name__}.") from error
        identifier = answer.headers.get("lambda-extension-identifier")
        if answer.status != 200 or not identifier:
            raise Unavailable(f"The Extensions API refuses an internal extension: {answer.status}.")
        return cls(address, identifier)

    def ask(self) -> None:
        try:
            self._send()
        except OSError:
            # A kept connection that was closed meanwhile says so now; a new one asks the same.
            self._close()
            try:
                self._send()
            except OSError as error:
                raise Unavailable(f"The Extensions API cannot be asked: {type(error).__name__}.") from error

    def receive(self) -> None:
        if self._connection is None:
            raise Unavailable("The Extensions API was not asked.")
        try:
            answer = _read(self._connection)
        except _BROKEN as error:
            raise Unavailable(f"The Extensions API does not answer: {type(error).__name__}.") from error
        if answer.headers.get("connection", "").lower() == "close":
            self._close()
        if answer.status != 200:
            raise Unavailable(f"The Extensions API answers {answer.status}.")

    def _send(self) -> None:
        if self._connection is None:
            self._connection = _connect(self._address, _ANSWER_SECONDS)
        self._connection.sendall(self._request)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(address: str, seconds: float) -> socket.socket:
    host, _, port = address.partition(":")
    return socket.create_connection((host, int(port or 80)), timeout=seconds)


def _read(connection: socket.socket) -> Answer:
    return AnswerReader(lambda: connection.recv(4_096), _MAX_EVENT_BYTES).read()
