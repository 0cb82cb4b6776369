"""DynamoDB, Kinesis and KMS over AWS's JSON protocols: the few calls that the score function makes.

Each method takes and gives what boto3's of its name does, and raises botocore's errors, so an adapter is
served by either. What differs on purpose: there are no retries but for a connection that the peer had closed;
parameters are not validated before they are sent; nothing is dropped from an answer; an answer that is cut or
is no JSON object is an error, where botocore takes it for an empty one.
https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from copy import copy
from hashlib import sha256
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, ClassVar, Self

from botocore.exceptions import ClientError, HTTPClientError

from quicksilver.aws.connections import Connections, Limits, Origin
from quicksilver.aws.credentials import credentials_from
from quicksilver.aws.endpoints import given_endpoint, region_from, regional_host
from quicksilver.aws.http_messages import Answer, wire_request
from quicksilver.aws.sigv4 import Keys, Signer

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Twice the most that DynamoDB answers with: 16 MB.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

_MAX_MESSAGE = 1_000


def _blob(value: object) -> str:
    """Bytes go as base64, in every service and wherever they stand."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON.")


_encode = json.JSONEncoder(separators=(",", ":"), default=_blob).encode


class JsonClient:
    """Safe to use from several threads. Region, endpoint and credentials come from ``environment``."""

    service: ClassVar[str]
    _target: ClassVar[str]
    _json_version: ClassVar[str]
    _modelled: ClassVar[Mapping[str, type[ClientError]]] = {}
    _told: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What an error says beside its message, by its code; botocore has it beside ``Error`` too."""

    def __init__(
        self,
        limits: Limits,
        *,
        environment: Mapping[str, str],
        credentials: Callable[[], Keys] | None = None,
    ) -> None:
        region = region_from(environment)
        url = given_endpoint(self.service, environment) or f"https://{regional_host(self.service, region)}"
        self._origin = Origin.of(url, environment)
        self._path = f"{self._origin.prefix}/"
        self._signer = Signer(self.service, region, credentials or credentials_from(environment))
        self._connections = Connections(limits)
        self._seconds = limits.seconds

    def bounded(self, seconds: float) -> Self:
        """This client, on the same connections, with calls that end within ``seconds`` if not sooner."""
        bounded = copy(self)
        bounded._seconds = min(self._seconds, seconds)
        return bounded

    def close(self) -> None:
        """Close the connections that are kept; the next call makes a new one."""
        self._connections.close()

    def call(
        self, operation: str, request: Mapping[str, Any], *, timeout_seconds: float | None = None
    ) -> dict[str, Any]:
        """Call an operation and wait for it no longer than ``timeout_seconds`` and the client's own limits.

        Raises ``ClientError`` where AWS refuses, and a ``BotoCoreError`` where there is no answer to read.
        """
        body = _encode(request).encode()
        headers = {
            "content-type": f"application/x-amz-json-{self._json_version}",
            "host": self._origin.host,
            "x-amz-target": f"{self._target}.{operation}",
        }
        signed = self._signer.sign("POST", self._path, headers, sha256(body).hexdigest(), time.time())
        seconds = self._seconds if timeout_seconds is None else min(self._seconds, timeout_seconds)
        answer = self._connections.send(self._origin, wire_request("POST", self._path, signed, body), seconds)
        if answer.status != HTTPStatus.OK:
            raise self._refusal(operation, answer)
        content = self._decode(answer.body)
        if content is None:
            raise HTTPClientError(error=f"the answer of {operation} is not a JSON object")
        content["ResponseMetadata"] = _metadata(answer)
        return content

    def _decode(self, body: bytes) -> dict[str, Any] | None:
        return _object(body)

    def _refusal(self, operation: str, answer: Answer) -> ClientError:
        content = _object(answer.body)
        if content is None:
            html = answer.body.lstrip().startswith(b"<html>") or not answer.body.strip()
            text = (
                _phrase(answer.status)
                if html and answer.status >= 500
                else answer.body.decode(errors="replace")
            )
            content = {"message": text}
        kind = content.get("__type") or answer.headers.get("x-amzn-errortype") or answer.status
        # "com.amazonaws.dynamodb.v20120810#ThrottlingException:http://..." is a ThrottlingException.
        code = str(kind).partition(":")[0].rpartition("#")[2]
        message = str(content.get("message", content.get("Message", "")))[:_MAX_MESSAGE]
        error = {"Error": {"Message": message, "Code": code}, "ResponseMetadata": _metadata(answer)}
        error |= {name: content[name] for name in self._told.get(code, ()) if name in content}
        return self._modelled.get(code, ClientError)(error, operation)


class DynamoDBClient(JsonClient):
    """Reads, and writes on a condition that makes a second arrival harmless."""

    service = "dynamodb"
    _target = "DynamoDB_20120810"
    _json_version = "1.0"
    _told: ClassVar = {"ConditionalCheckFailedException": ("Item",)}

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        return self.call("BatchGetItem", request)

    def get_item(self, **request: Any) -> dict[str, Any]:
        return self.call("GetItem", request)

    def put_item(self, **request: Any) -> dict[str, Any]:
        return self.call("PutItem", request)

    def delete_item(self, **request: Any) -> dict[str, Any]:
        return self.call("DeleteItem", request)

    def query(self, **request: Any) -> dict[str, Any]:
        return self.call("Query", request)

    def _decode(self, body: bytes) -> dict[str, Any] | None:
        # We store no binary values, so looking for them attribute by attribute would nearly always be in vain.
        binary = b'"B"' in body or b'"BS"' in body
        return _object(body, _with_bytes if binary else None)


class KinesisClient(JsonClient):
    service = "kinesis"
    _target = "Kinesis_20131202"
    _json_version = "1.1"

    def put_records(self, **request: Any) -> dict[str, Any]:
        return self.call("PutRecords", request)


class KMSInvalidSignatureException(ClientError):  # type: ignore[misc]  # botocore has no types
    """The signature is of something else, or by somebody else."""


class KmsClient(JsonClient):
    service = "kms"
    _target = "TrentService"
    _json_version = "1.1"
    _modelled: ClassVar = {"KMSInvalidSignatureException": KMSInvalidSignatureException}
    exceptions = SimpleNamespace(**_modelled)

    def verify(self, **request: Any) -> dict[str, Any]:
        return self.call("Verify", request)


def _object(body: bytes, hook: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any] | None:
    try:
        content = json.loads(body, object_hook=hook)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    """An attribute value with its binary content as bytes. An attribute that is *named* B holds no text."""
    match value:
        case {"B": str(text)}:
            return {"B": b64decode(text)}
        case {"BS": [*texts]} if all(isinstance(text, str) for text in texts):
            return {"BS": [b64decode(text) for text in texts]}
        case _:
            return value


def _metadata(answer: Answer) -> dict[str, Any]:
    return {
        "RequestId": answer.headers.get("x-amzn-requestid", ""),
        "HTTPStatusCode": answer.status,
        "HTTPHeaders": answer.headers,
        "RetryAttempts": 0,
    }


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
