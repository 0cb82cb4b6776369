"""Documents of the monitoring as objects in the archive bucket: ``monitoring/<kind>/<endpoint>/<name>.json``, pages as
``.html``, which a browser opens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.aws.refusals import cause
from quicksilver.errors import Unavailable
from quicksilver.monitoring import MONITORING_PREFIX, Kind

_ATTEMPTS = 3
_PAGE = (".html", "text/html; charset=utf-8")
_DOCUMENT = (".json", "application/json")
"""How the names of objects end, and what a browser takes them for."""


class S3MonitoringStore:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, kind: Kind, endpoint: str, name: str, document: bytes) -> None:
        try:
            self._put(kind, endpoint, name, document)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable("written", error) from error

    def claim(self, kind: Kind, endpoint: str, name: str, document: bytes) -> bool:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._put(kind, endpoint, name, document, IfNoneMatch="*")
            except ClientError as error:
                if cause(error) == "PreconditionFailed":
                    return False
                # A rival is writing the same key this moment; S3 asks to try again.
                # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
                if cause(error) == "ConditionalRequestConflict" and attempt < _ATTEMPTS:
                    continue
                raise _unavailable("written", error) from error
            except BotoCoreError as error:
                raise _unavailable("written", error) from error
            else:
                return True
        raise AssertionError("every attempt ends the call or is followed by another")

    def get(self, kind: Kind, endpoint: str, name: str) -> bytes | None:
        try:
            response = self._client.get_object(Bucket=self._bucket, Key=_key(kind, endpoint, name))
            document: bytes = response["Body"].read()
        except ClientError as error:
            if cause(error) == "NoSuchKey":
                return None
            raise _unavailable("read", error) from error
        except BotoCoreError as error:
            raise _unavailable("read", error) from error
        return document

    def names(self, kind: Kind, endpoint: str, *, since: str = "") -> Iterator[str]:
        prefix, (suffix, _) = f"{MONITORING_PREFIX}{kind}/{endpoint}/", _form(kind)
        # Without the suffix a name comes before its own key, so that `since` itself is listed.
        after = {"StartAfter": prefix + since} if since else {}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, **after
        )
        try:
            for page in pages:
                for item in page.get("Contents", ()):
                    name = str(item["Key"]).removeprefix(prefix)
                    if name.endswith(suffix):
                        yield name.removesuffix(suffix)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable("listed", error) from error

    def _put(self, kind: Kind, endpoint: str, name: str, document: bytes, **condition: str) -> None:
        _, content_type = _form(kind)
        key = _key(kind, endpoint, name)
        self._client.put_object(
            Bucket=self._bucket, Key=key, Body=document, ContentType=content_type, **condition
        )


def _key(kind: Kind, endpoint: str, name: str) -> str:
    suffix, _ = _form(kind)
    return f"{MONITORING_PREFIX}{kind}/{endpoint}/{name}{suffix}"


def _form(kind: Kind) -> tuple[str, str]:
    return _PAGE if kind is Kind.REPORT else _DOCUMENT


def _unavailable(done: str, error: BotoCoreError | ClientError) -> Unavailable:
    return Unavailable(f"The monitoring's documents cannot be {done}: {cause(error)}.")
