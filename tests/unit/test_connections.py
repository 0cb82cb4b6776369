"""HTTP as the lean clients speak it: how answers end, which connections are kept, and whom they trust."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, HTTPClientError, SSLError

from quicksilver.aws.connections import Connections, Limits, Origin
from quicksilver.aws.http_messages import Answer, wire_request
from tests.own_certificate import make_certificate
from tests.scripted_server import Received, Step, Then, answer, serving

LIMITS = Limits(connect_seconds=2, read_seconds=2, max_body_bytes=1_000_000)
REQUEST = wire_request("POST", "/", {"host": "test"}, b"{}")


def ask(url: str, limits: Limits = LIMITS, environment: Mapping[str, str] | None = None) -> Answer:
    return Connections(limits).send(Origin.of(url, environment or {}), REQUEST)


@pytest.mark.parametrize(
    ("data", "then", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Then.KEEP, b"{}"),
        (b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:2\r\n\r\n{}", Then.KEEP, b"{}"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n01;x=y\r\n}\r\n0\r\n\r\n",
            Then.KEEP,
            b"{}",
        ),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n", Then.KEEP, b""),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", Then.CLOSE, b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", Then.CLOSE, b"old"),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", Then.KEEP, b""),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
            Then.KEEP,
            b"x",
        ),
        (b"HTTP/1.1 204 None\r\n\r\n", Then.KEEP, b""),
    ],
)
def test_an_answer_ends_where_it_says(data: bytes, then: Then, body: bytes) -> None:
    with serving(Step(data, then)) as server:
        assert ask(server.url).body == body


def test_an_answer_of_many_reads_comes_whole() -> None:
    body = bytes(range(256)) * 3_000
    with serving(answer(body)) as server:
        assert ask(server.url).body == body


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nF4241\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{}}",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 1_000_001,
    ],
)
def test_what_is_no_answer_or_too_large_is_an_error_of_the_client(data: bytes) -> None:
    with serving(Step(data, Then.HANG)) as server, pytest.raises(HTTPClientError):
        ask(server.url)


def test_a_connection_is_kept_after_a_whole_answer_only() -> None:
    steps = (
        answer({}),
        answer({}),
        answer({}, connection="close"),
        Step(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxy"),  # more than was asked for
        Step(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nxy", Then.CLOSE),
        answer({}),
    )
    with serving(*steps) as server:
        connections, origin = Connections(LIMITS), Origin.of(server.url, {})
        for number in range(6):
            if number == 4:
                with pytest.raises(ConnectionClosedError):
                    connections.send(origin, REQUEST)
            else:
                connections.send(origin, REQUEST)
    assert [request.connection for request in server.received] == [1, 1, 1, 2, 3, 4]


def test_threads_never_get_each_others_answers() -> None:
    with serving(script=lambda request: answer(request.body)) as server:
        connections, origin = Connections(LIMITS), Origin.of(server.url, {})

        def echo(number: int) -> bool:
            body = f"{number}".encode() * (1 + number % 50)
            return connections.send(origin, wire_request("POST", "/", {"host": "x"}, body)).body == body

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(echo, range(800)))
    # Eight at once, of which the pool keeps four: connections are used again.
    assert max(request.connection for request in server.received) < 400


def test_threads_that_meet_closed_connections_all_get_their_answers() -> None:
    def script(request: Received) -> Step:
        return answer(request.body, then=Then.CLOSE)  # without saying so

    with serving(script=script) as server:
        connections, origin = Connections(LIMITS), Origin.of(server.url, {})

        def echo(number: int) -> bool:
            body = f"{number}".encode()
            return connections.send(origin, wire_request("POST", "/", {"host": "x"}, body)).body == body

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(echo, range(200)))


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_a_header_cannot_begin_another(end: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        wire_request("GET", "/", {"host": "x", "if-none-match": f"*{end}x-evil: 1"}, b"")


@pytest.mark.parametrize(
    ("url", "host", "address", "prefix"),
    [
        ("https://dynamodb.eu-west-1.amazonaws.com", "dynamodb.eu-west-1.amazonaws.com", 443, ""),
        ("https://vpce.example:443/", "vpce.example", 443, ""),
        ("http://127.0.0.1:4566", "127.0.0.1:4566", 4566, ""),
        ("http://[::1]:4566/aws/", "[::1]:4566", 4566, "/aws"),
    ],
)
def test_an_address_is_read_as_hosts_and_signatures_want_it(
    url: str, host: str, address: int, prefix: str
) -> None:
    origin = Origin.of(url, {})
    assert (origin.host, origin.address[1], origin.prefix) == (host, address, prefix)


@pytest.mark.parametrize("url", ["", "localhost:4566", "ftp://host", "https://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Invalid endpoint"):
        Origin.of(url, {})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of a certificate for localhost, signed by itself, and of its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_server_is_trusted_by_the_bundle_that_the_environment_names(
    certificate: tuple[Path, Path], tls: ssl.SSLContext, variable: str
) -> None:
    environment = {variable: str(certificate[0])}
    with serving(answer(b"secret"), answer(b"again"), tls=tls) as server:
        connections, origin = Connections(LIMITS), Origin.of(server.url, environment)
        assert [connections.send(origin, REQUEST).body for _ in range(2)] == [b"secret", b"again"]
    assert {request.connection for request in server.received} == {1}


def test_a_server_that_nobody_vouches_for_is_told_nothing(tls: ssl.SSLContext) -> None:
    with serving(answer({}), tls=tls) as server, pytest.raises(SSLError):
        ask(server.url)
    assert server.received == []


def test_a_certificate_of_another_name_is_not_taken(
    certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    environment = {"AWS_CA_BUNDLE": str(certificate[0])}
    with serving(answer({}), tls=tls) as server, pytest.raises(SSLError):
        ask(server.url.replace("localhost", "127.0.0.1"), environment=environment)
    assert server.received == []


def test_a_bundle_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(OSError, match="No such file"):
        Origin.of("https://localhost", {"AWS_CA_BUNDLE": "/nowhere.pem"})


def test_connecting_has_a_time_of_its_own() -> None:
    # A server that never speaks TLS: the handshake is part of connecting.
    with serving(Step(then=Then.HANG)) as server, pytest.raises(ConnectTimeoutError):
        ask(server.url.replace("http", "https"), Limits(0.1, 30, 1_000))
