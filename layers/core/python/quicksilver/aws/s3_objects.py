"""Whole objects in an S3 bucket, by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.aws.refusals import cause
from quicksilver.errors import Unavailable


class S3ObjectStore:
    """Whoever uses it may list the bucket under its prefix: else S3 says of an absent object that it may not be read."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, data: bytes) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"{key} cannot be written: {cause(error)}.") from error

    def put_file(self, key: str, path: Path) -> None:
        try:
            self._client.upload_file(str(path), self._bucket, key)
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            reason = error.__context__ if isinstance(error, S3UploadFailedError) else error
            words = cause(reason) if isinstance(reason, BotoCoreError | ClientError) else type(error).__name__
            raise Unavailable(f"{key} cannot be written: {words}.") from error

    def get(self, key: str) -> bytes | None:
        try:
            data: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            if cause(error) == "NoSuchKey":
                return None
            raise Unavailable(f"{key} cannot be read: {cause(error)}.") from error
        return data
