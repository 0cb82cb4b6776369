"""Model packages and gate reports in S3, by content: ``packages/<sha256>/<file>`` and ``evidence/<sha256>.json``.

Everything here is written once. If-None-Match asks for that with each write, and the bucket's policy insists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import NotFound, Unavailable
from quicksilver.package import MANIFEST

_ATTEMPTS = 3


class S3ArtifactStore:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, package_sha256: str, files: Mapping[str, bytes]) -> None:
        # The manifest last: a package whose manifest can be read is whole.
        for name in sorted(files, key=lambda name: name == MANIFEST):
            self._put_once(_package_key(package_sha256, name), files[name])

    def get(self, package_sha256: str, name: str) -> bytes:
        return self._get(
            _package_key(package_sha256, name), missing=f"The package {package_sha256} has no {name}"
        )

    def put_evidence(self, sha256: str, report: bytes) -> None:
        self._put_once(_evidence_key(sha256), report)

    def get_evidence(self, sha256: str) -> bytes:
        return self._get(_evidence_key(sha256), missing=f"There is no evidence {sha256}")

    def _put_once(self, key: str, body: bytes) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if _code(error) == "PreconditionFailed":
                    return  # stored before, under a key that names its content
                # A rival is writing the same key this moment; S3 asks to try again.
                # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
                if _code(error) == "ConditionalRequestConflict" and attempt < _ATTEMPTS:
                    continue
                raise Unavailable(f"The artefact store refused {key}: {_code(error)}.") from error
            except BotoCoreError as error:
                raise Unavailable(f"The artefact store cannot be reached: {type(error).__name__}.") from error
            else:
                return

    def _get(self, key: str, *, missing: str) -> bytes:
        try:
            response = self._client.get_object(Bucket=self._bucket, Key=key)
            data: bytes = response["Body"].read()
        except ClientError as error:
            # Without s3:ListBucket an absent key answers AccessDenied, as one that may not be read does.
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
            if _code(error) == "AccessDenied":
                raise NotFound(f"{missing}, or it may not be read.") from None
            if _code(error) == "NoSuchKey":
                raise NotFound(f"{missing}.") from None
            raise Unavailable(f"The artefact store refused {key}: {_code(error)}.") from error
        except BotoCoreError as error:
            raise Unavailable(f"The artefact store cannot be reached: {type(error).__name__}.") from error
        return data


def _package_key(package_sha256: str, name: str) -> str:
    return f"packages/{package_sha256}/{name}"


def _evidence_key(sha256: str) -> str:
    return f"evidence/{sha256}.json"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
