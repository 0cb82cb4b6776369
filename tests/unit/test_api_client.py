"""The API client: what is signed is what is sent, and the signature is one that AWS would accept."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization

from quicksilver.aws.api import ApiClient, api_url
from quicksilver.cli.stage import deployed_stage
from quicksilver.errors import InvalidInput, Unavailable
from tests.own_certificate import make_certificate

CREDENTIALS = Credentials("AKIATEST", "secret")


class Server(HTTPServer):
    """Remembers each request and answers what it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.answer: tuple[int, bytes] = (200, b"{}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(
            {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
        )
        status, content = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = handle_one  # noqa: N815 - the names http.server calls

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def client(server: Server, **more: Any) -> ApiClient:
    return ApiClient(server.url, CREDENTIALS, "us-east-1", **more)


def is_signed(server: Server, request: dict[str, Any]) -> bool:
    """Whether the signature is the one that its receiver computes from what arrived."""
    sent = request["headers"]
    again = AWSRequest(
        request["method"],
        server.url + request["path"],
        data=request["body"],
        headers={name: sent[name] for name in ("Content-Type", "x-api-key") if name in sent},
    )
    again.context["timestamp"] = sent["X-Amz-Date"]
    signer = SigV4Auth(CREDENTIALS, "execute-api", "us-east-1")
    again.headers["X-Amz-Date"] = sent["X-Amz-Date"]
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return bool(sent["Authorization"].endswith(f"Signature={signer.signature(text, again)}"))


def test_a_query_arrives_as_it_was_given_and_signed(server: Server) -> None:
    client(server).request(
        "GET", "/v1/registry/card-fraud/at", query={"time": "2026-11-23T00:00:00+01:00", "a": 5}
    )
    (request,) = server.requests
    assert request["path"] == "/v1/registry/card-fraud/at?time=2026-11-23T00%3A00%3A00%2B01%3A00&a=5"
    assert is_signed(server, request)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_arrives_whole_and_signed(server: Server, method: str) -> None:
    client(server).request(method, "/v1/registry/card-fraud/route", body=b'{"reason": "gr\xc3\xbc\xc3\x9fe"}')
    (request,) = server.requests
    assert (request["method"], request["body"]) == (method, b'{"reason": "gr\xc3\xbc\xc3\x9fe"}')
    assert is_signed(server, request)


def test_what_was_changed_on_the_way_would_be_refused(server: Server) -> None:
    client(server).request("POST", "/v1/x", body=b"{}")
    (request,) = server.requests
    assert is_signed(server, request)
    assert not is_signed(server, {**request, "body": b'{"a": 1}'})


def test_the_api_key_is_sent_and_signed_where_there_is_one(server: Server) -> None:
    client(server, api_key="key").score("card-fraud", {"entity_id": "card_1"})
    client(server).request("GET", "/v1/x")
    scored, asked = server.requests
    assert (scored["method"], scored["path"]) == ("POST", "/v1/card-fraud/score")
    assert json.loads(scored["body"]) == {"entity_id": "card_1"}
    assert scored["headers"]["x-api-key"] == "key"
    assert "x-api-key" not in asked["headers"]
    assert is_signed(server, scored)


def test_an_answer_that_is_no_json_is_given_as_text(server: Server) -> None:
    server.answer = (502, b"<html>")
    answer = client(server).request("GET", "/v1/x")
    assert (answer.status, answer.content) == (502, "<html>")


def test_an_api_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="The API cannot be reached"):
        ApiClient("http://127.0.0.1:9", CREDENTIALS, "us-east-1").request("GET", "/v1/x")


@pytest.mark.parametrize(
    ("endpoint_url", "url"),
    [
        (None, "https://abc123.execute-api.eu-west-1.amazonaws.com/prod"),
        ("http://localhost:4566", "http://localhost:4566/_aws/execute-api/abc123/prod"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_an_api_is_reached_at_its_own_address_or_at_the_emulators(
    endpoint_url: str | None, url: str, slash: str
) -> None:
    deployed = f"https://abc123.execute-api.eu-west-1.amazonaws.com/prod{slash}"
    assert api_url(deployed, endpoint_url) == url


def test_the_caller_says_what_it_is(server: Server) -> None:
    # A firewall before the API refuses who does not.
    client(server).request("GET", "/v1/x")
    assert server.requests[0]["headers"]["User-Agent"] == "quicksilver"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A PEM file of a certificate and its key."""
    certificate, key = make_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return both


@pytest.fixture
def asking_server(server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that lets in who shows this certificate, and is trusted itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return f"https://localhost:{server.server_port}"


def test_a_certificate_is_shown_to_an_api_that_asks_for_one(asking_server: str, certificate: Path) -> None:
    caller = ApiClient(asking_server, CREDENTIALS, "us-east-1", client_certificate=str(certificate))
    assert caller.request("GET", "/v1/x").status == 200


def test_without_one_the_api_cannot_be_reached(asking_server: str, server: Server) -> None:
    with pytest.raises(Unavailable, match="The API cannot be reached"):
        ApiClient(asking_server, CREDENTIALS, "us-east-1").request("GET", "/v1/x")
    assert server.requests == []


def test_the_command_line_shows_the_certificate_that_the_environment_names(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QUICKSILVER_CLIENT_CERTIFICATE", raising=False)
    assert deployed_stage("prod").client_certificate is None
    monkeypatch.setenv("QUICKSILVER_CLIENT_CERTIFICATE", str(certificate))
    assert deployed_stage("prod").client_certificate == str(certificate)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", "locked"])
def test_a_file_that_is_no_certificate_is_refused_by_its_name(
    content: bytes | str | None, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "client.pem"
    if content == "locked":
        key = serialization.load_pem_private_key(certificate.read_bytes(), None)
        path.write_bytes(
            certificate.read_bytes().partition(b"-----BEGIN PRIVATE KEY")[0]
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
    elif isinstance(content, bytes):
        path.write_bytes(content)
    monkeypatch.setenv("QUICKSILVER_CLIENT_CERTIFICATE", str(path))
    with pytest.raises(InvalidInput) as caught:
        deployed_stage("prod")
    assert [error.field for error in caught.value.fields] == ["QUICKSILVER_CLIENT_CERTIFICATE"]
