"""IAM users with one access key each: the people of a local stage."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import Unavailable


class AccessKey(NamedTuple):
    """What an IAM user signs with."""

    key_id: str
    secret: str


class IamUsers:
    def __init__(self, client: Any) -> None:
        self._client = client

    def ensure(self, name: str, known: AccessKey | None = None) -> AccessKey:
        """The user, made where there is none, and a key that works: the one already known if IAM has it.

        Keys whose secret nobody knows any more are removed: IAM lets a user have two. Raises ``Unavailable``.
        """
        try:
            with suppress(self._client.exceptions.EntityAlreadyExistsException):
                self._client.create_user(UserName=name)
            listed = self._client.list_access_keys(UserName=name)["AccessKeyMetadata"]
            key_ids = [key["AccessKeyId"] for key in listed]
            if known and known.key_id in key_ids:
                return known
            for key_id in key_ids:
                self._client.delete_access_key(UserName=name, AccessKeyId=key_id)
            made = self._client.create_access_key(UserName=name)["AccessKey"]
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The IAM user {name} cannot be made: {error}") from error
        return AccessKey(made["AccessKeyId"], made["SecretAccessKey"])
