"""Where our credentials come from: the environment, as Lambda gives them; else wherever botocore finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import NoCredentialsError

if TYPE_CHECKING:
    from quicksilver.aws.sigv4 import Keys


class FixedKeys(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


def credentials_from(environment: Mapping[str, str]) -> Callable[[], Keys]:
    """What gives the credentials of the moment; that may raise botocore's ``NoCredentialsError``.

    Keys in the environment stay the same for the process's life. SnapStart, containers and profiles have
    others, which expire: botocore's resolver, imported only then, finds and refreshes them.
    """
    access_key, secret_key = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret_key and not environment.get("AWS_CREDENTIAL_EXPIRATION"):
        # The second is a name of old that botocore still reads.
        token = environment.get("AWS_SESSION_TOKEN") or environment.get("AWS_SECURITY_TOKEN")
        keys = FixedKeys(access_key, secret_key, token or None)
        return lambda: keys
    return lambda: frozen(_resolved())


def frozen(credentials: Any) -> Keys:
    """The keys of botocore's credentials as they are now, refreshed by botocore where they are about to expire."""
    keys: Keys = credentials.get_frozen_credentials()
    return keys


@cache
def _resolved() -> Any:
    from botocore.session import Session

    credentials = Session().get_credentials()
    if credentials is None:
        raise NoCredentialsError
    return credentials
