"""Kept-alive connections to AWS's APIs; safe to use from several threads.

Guarantees: once its host's name is resolved, a call ends within its time whatever the peer does, drip by drip
included; a connection is kept only after a whole answer; what goes wrong is one of botocore's own errors.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from time import monotonic
from urllib.parse import urlsplit

import botocore
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)

from quicksilver.aws.http_messages import Answer, AnswerReader, EndedEarly

_READ_BYTES = 65_536
_KEPT = 4  # connections that wait for the next call, per origin


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go. ``host`` is as the Host header has it; ``prefix`` stands before every path."""

    url: str
    host: str
    address: tuple[str, int]
    tls: ssl.SSLContext | None
    prefix: str = ""

    @classmethod
    def of(cls, url: str, environment: Mapping[str, str]) -> Origin:
        """Raises ``ValueError`` for what is no address of an HTTP server, ``OSError`` for a CA bundle that is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"Invalid endpoint: {url}")
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        host = parts.netloc.rpartition("@")[2]
        if parts.port == (443 if secure else 80):
            host = host.rpartition(":")[0]
        tls = _tls(_ca_bundle(environment)) if secure else None
        return cls(url, host, (parts.hostname, port), tls, parts.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Limits:
    """``read_seconds`` is the longest silence of the peer. What an answer may take in all is said by call."""

    connect_seconds: float
    read_seconds: float
    max_body_bytes: int

    @property
    def seconds(self) -> float:
        return self.connect_seconds + self.read_seconds


class Connections:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: dict[Origin, deque[_Connection]] = {}

    def send(self, origin: Origin, request: bytes, seconds: float | None = None) -> Answer:
        """Send one request, head and body, and read its answer within ``seconds`` in all.

        The peer may have closed a kept connection while nobody looked: what met with such a one, and got
        not a byte back, is sent again on a fresh one. So only calls that may safely arrive twice come here.
        """
        ends_at = monotonic() + seconds if seconds is not None else float("inf")
        kept = self._kept.setdefault(origin, deque())
        try:
            connection = kept.pop()
        except IndexError:
            pass
        else:
            try:
                return self._exchange(connection, kept, request, ends_at)
            except ConnectionClosedError:
                if connection.answering:
                    raise
        return self._exchange(_Connection(origin, self._limits, ends_at), kept, request, ends_at)

    def close(self) -> None:
        """Close what waits for the next call, which then connects anew."""
        for kept in self._kept.values():
            while kept:
                kept.pop().close()

    def _exchange(
        self, connection: _Connection, kept: deque[_Connection], request: bytes, ends_at: float
    ) -> Answer:
        try:
            answer = connection.exchange(request, ends_at)
        except BaseException:
            connection.close()
            raise
        if connection.reusable and len(kept) < _KEPT:
            kept.append(connection)
        else:
            connection.close()
        return answer


class _Connection:
    """``answering``: a byte of the last answer has come. ``reusable``: it was whole, and the peer stays."""

    def __init__(self, origin: Origin, limits: Limits, ends_at: float) -> None:
        self._origin = origin
        self._limits = limits
        self._socket = _connect(origin, min(ends_at, monotonic() + limits.connect_seconds))
        self.answering = self.reusable = False

    def close(self) -> None:
        self._socket.close()

    def exchange(self, request: bytes, ends_at: float) -> Answer:
        def arm() -> None:
            self._socket.settimeout(min(self._limits.read_seconds, _left(ends_at)))

        def receive() -> bytes:
            arm()
            return self._socket.recv(_READ_BYTES)

        url = self._origin.url
        reader = AnswerReader(receive, self._limits.max_body_bytes)
        try:
            arm()
            self._socket.sendall(request)
            return reader.read()
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=url, error=error) from error
        except (OSError, EndedEarly) as error:
            raise ConnectionClosedError(endpoint_url=url, error=error) from error
        except ValueError as error:
            raise HTTPClientError(error=error) from error
        finally:
            self.answering, self.reusable = reader.started, reader.reusable


def _connect(origin: Origin, ends_at: float) -> socket.socket:
    """Connect to the first address that takes it, and agree on TLS, before a moment of the monotonic clock."""
    try:
        connection = _first_open(origin.address, ends_at)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if origin.tls:
                connection.settimeout(_left(ends_at))
                return origin.tls.wrap_socket(connection, server_hostname=origin.address[0])
        except BaseException:
            connection.close()
            raise
    except TimeoutError as error:
        raise ConnectTimeoutError(endpoint_url=origin.url, error=error) from error
    except ssl.SSLError as error:
        raise SSLError(endpoint_url=origin.url, error=error) from error
    except OSError as error:  # refused, unreachable, or a name that nobody has
        raise EndpointConnectionError(endpoint_url=origin.url, error=error) from error
    return connection


def _first_open(address: tuple[str, int], ends_at: float) -> socket.socket:
    failed: OSError | None = None
    for family, kind, protocol, _, at in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(ends_at))
            connection.connect(at)
        except OSError as error:
            connection.close()
            failed = error
        else:
            return connection
    raise failed or OSError("The name has no address.")


def _left(ends_at: float) -> float:
    left = ends_at - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _ca_bundle(environment: Mapping[str, str]) -> str:
    """The certificates we trust, in botocore's order; its own come with it, and Lambda's runtime has no others."""
    named = environment.get("AWS_CA_BUNDLE") or environment.get("REQUESTS_CA_BUNDLE")
    return named or os.path.join(os.path.dirname(botocore.__file__), "cacert.pem")  # noqa: PTH118, PTH120


@cache
def _tls(bundle: str) -> ssl.SSLContext:
    """One context for the process: reading 140 certificates takes 25 ms of CPU."""
    if os.path.isdir(bundle):  # noqa: PTH112 - a string as the environment has it
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
