"""Model packages in S3, under ``packages/<package sha256>/<file>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import NotFound, Unavailable
from quicksilver.package import MANIFEST


class S3ArtifactStore:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, package_sha256: str, files: Mapping[str, bytes]) -> None:
        # The manifest last: a package whose manifest can be read is whole.
        for name in sorted(files, key=lambda name: name == MANIFEST):
            try:
                # If-None-Match makes the write once-only; a rival that stored this name stored these bytes.
                self._client.put_object(
                    Bucket=self._bucket, Key=_key(package_sha256, name), Body=files[name], IfNoneMatch="*"
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise Unavailable(f"The artefact store refused {name}: {_code(error)}.") from error
            except BotoCoreError as error:
                raise Unavailable(f"The artefact store cannot be reached: {type(error).__name__}.") from error

    def get(self, package_sha256: str, name: str) -> bytes:
        try:
            response = self._client.get_object(Bucket=self._bucket, Key=_key(package_sha256, name))
            data: bytes = response["Body"].read()
        except ClientError as error:
            # Without s3:ListBucket an absent key answers AccessDenied, as one that may not be read does.
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
            if _code(error) == "AccessDenied":
                raise NotFound(
                    f"The package {package_sha256} has no {name}, or it may not be read."
                ) from None
            if _code(error) == "NoSuchKey":
                raise NotFound(f"The package {package_sha256} has no {name}.") from None
            raise Unavailable(f"The artefact store refused {name}: {_code(error)}.") from error
        except BotoCoreError as error:
            raise Unavailable(f"The artefact store cannot be reached: {type(error).__name__}.") from error
        return data


def _key(package_sha256: str, name: str) -> str:
    return f"packages/{package_sha256}/{name}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
