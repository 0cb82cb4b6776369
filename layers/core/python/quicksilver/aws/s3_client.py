"""GetObject and PutObject: what the score function needs of S3, in boto3's shape and with botocore's errors.

Creating botocore's S3 client costs a cold start 45 ms of CPU after the import of boto3, which costs far more.
What differs on purpose: an object's body is read before ``get_object`` returns, so that it can fail in one place
only; the payload's SHA-256, which is signed anyway, is the checksum that S3 keeps; redirects to a bucket's own
region are not followed.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

# ruff: noqa: N803 - the parameters are named as boto3 names them

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from html import unescape
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import quote

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from quicksilver.aws.connections import Connections, Limits, Origin
from quicksilver.aws.credentials import credentials_from
from quicksilver.aws.endpoints import given_endpoint, region_from, regional_host
from quicksilver.aws.http_messages import Answer, wire_request
from quicksilver.aws.sigv4 import Keys, Signer
from quicksilver.package import MAX_PACKAGE_BYTES

MAX_BODY_BYTES = MAX_PACKAGE_BYTES

_PASSING = (ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError, ConnectionClosedError)
_PASSING_STATUSES = frozenset({429, 500, 502, 503, 504})
# A name with a dot in it would not match S3's certificate as a host, so it goes into the path.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
_HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class S3Client:
    """Safe to use from several threads. A passing failure is tried ``attempts`` times in all, with ``pause`` between."""

    def __init__(
        self,
        limits: Limits,
        *,
        attempts: int = 1,
        pause: Callable[[int], None],
        environment: Mapping[str, str],
        credentials: Callable[[], Keys] | None = None,
    ) -> None:
        region = region_from(environment)
        self._environment = environment
        self._given = given_endpoint("s3", environment)
        self._host = "" if self._given else regional_host("s3", region)
        self._origins: dict[str, Origin] = {}
        self._signer = Signer("s3", region, credentials or credentials_from(environment))
        self._connections = Connections(limits)
        self._seconds = limits.seconds
        self._attempts = attempts
        self._pause = pause

    def close(self) -> None:
        """Close the connections that are kept; the next call makes a new one."""
        self._connections.close()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        """``Body`` is a whole file of bytes, in memory. Raises ``ClientError`` and ``BotoCoreError``."""
        answer = self._send("GetObject", "GET", Bucket, Key)
        return {**_shape(answer), "Body": BytesIO(answer.body), "ContentLength": len(answer.body)}

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: bytes,
        IfNoneMatch: str | None = None,
    ) -> dict[str, Any]:
        """Raises ``ClientError`` and ``BotoCoreError``."""
        condition = {"if-none-match": IfNoneMatch} if IfNoneMatch else {}
        return _shape(self._send("PutObject", "PUT", Bucket, Key, Body, condition))

    def _send(
        self,
        operation: str,
        method: str,
        bucket: str,
        key: str,
        body: bytes = b"",
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        origin, path = self._place(bucket, key)
        digest = sha256(body)
        headers = {"host": origin.host, "x-amz-content-sha256": digest.hexdigest(), **(more or {})}
        if method == "PUT":
            # A bucket with Object Lock takes no object without a checksum.
            headers["x-amz-checksum-sha256"] = b64encode(digest.digest()).decode()
        # An object may be large: what matters while it arrives is that it goes on arriving.
        seconds = self._seconds if method == "PUT" else None
        for attempt in range(1, self._attempts + 1):
            if attempt > 1:
                self._pause(attempt - 1)
            signed = self._signer.sign(method, path, headers, digest.hexdigest(), time.time())
            try:
                answer = self._connections.send(origin, wire_request(method, path, signed, body), seconds)
            except _PASSING:
                if attempt == self._attempts:
                    raise
                continue
            if answer.status not in _PASSING_STATUSES or attempt == self._attempts:
                break
        if answer.status != HTTPStatus.OK:
            raise _refusal(operation, answer)
        return answer

    def _place(self, bucket: str, key: str) -> tuple[Origin, str]:
        """Where an object is: by its bucket's own host on AWS, by its path at an endpoint that somebody has set."""
        path = f"/{quote(key, safe='/~')}"
        url = self._given or f"https://{self._host}"
        if not self._given and _HOST_NAME.fullmatch(bucket):
            url = f"https://{bucket}.{self._host}"
        else:
            path = f"/{quote(bucket, safe='')}{path}"
        origin = self._origins.get(url)
        if origin is None:
            origin = self._origins[url] = Origin.of(url, self._environment)
        return origin, origin.prefix + path


def _shape(answer: Answer) -> dict[str, Any]:
    return {"ETag": answer.headers.get("etag", ""), "ResponseMetadata": _metadata(answer)}


def _refusal(operation: str, answer: Answer) -> ClientError:
    text = answer.body.decode(errors="replace")
    if "<Code>" in text:
        code, message = _element("Code", text), _element("Message", text)
    else:  # S3 answers some refusals by their status alone
        code = str(answer.status)
        message = next((s.phrase for s in HTTPStatus if s == answer.status), "")
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": _metadata(answer)}
    return ClientError(error, operation)


def _element(name: str, xml: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", xml)
    return unescape(found[1]) if found else ""


def _metadata(answer: Answer) -> dict[str, Any]:
    return {
        "RequestId": answer.headers.get("x-amz-request-id", ""),
        "HostId": answer.headers.get("x-amz-id-2", ""),
        "HTTPStatusCode": answer.status,
        "HTTPHeaders": answer.headers,
        "RetryAttempts": 0,
    }
