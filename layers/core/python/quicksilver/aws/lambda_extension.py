"""An internal extension's side of the Lambda Extensions API, over one kept connection.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import http.client
import json

from quicksilver.errors import Unavailable

_NAME = "quicksilver"
_REGISTER = "/2020-01-01/extension/register"
_NEXT = "/2020-01-01/extension/event/next"

_REGISTER_SECONDS = 5.0
"""Patient, and within Lambda's 10 s for the init phase: one who is registered and does not know it never asks for
an event, and the environment is lost."""

_ANSWER_SECONDS = 1.0
"""For an answer that is due. The wait for an event is the environment's sleep, and spent without reading."""


class LambdaExtension:
    """Told of each invocation. ``register`` makes one."""

    def __init__(self, address: str, identifier: str) -> None:
        self._identifier = identifier
        self._connection = http.client.HTTPConnection(address, timeout=_ANSWER_SECONDS)

    @classmethod
    def register(cls, address: str) -> LambdaExtension:
        """Register for INVOKE. Raises ``Unavailable`` where the platform has no Extensions API or refuses.

        Not for SHUTDOWN: Lambda refuses it to internal extensions (ShutdownEventNotSupportedForInternalExtension).
        """
        connection = http.client.HTTPConnection(address, timeout=_REGISTER_SECONDS)
        try:
            connection.request(
                "POST", _REGISTER, json.dumps({"events": ["INVOKE"]}), {"Lambda-Extension-Name": _NAME}
            )
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"The Extensions API does not answer: {type(error).__name__}.") from error
        finally:
            connection.close()
        identifier = response.headers.get("Lambda-Extension-Identifier")
        if response.status != http.client.OK or not identifier:
            raise Unavailable(f"The Extensions API refuses an internal extension: {response.status}.")
        return cls(address, identifier)

    def ask(self) -> None:
        headers = {"Lambda-Extension-Identifier": self._identifier}
        try:
            self._connection.request("GET", _NEXT, headers=headers)
        except (OSError, http.client.HTTPException):
            # A kept connection that was closed meanwhile says so now; a new one asks the same.
            self._connection.close()
            try:
                self._connection.request("GET", _NEXT, headers=headers)
            except (OSError, http.client.HTTPException) as error:
                raise Unavailable(f"The Extensions API cannot be asked: {type(error).__name__}.") from error

    def receive(self) -> None:
        try:
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"The Extensions API does not answer: {type(error).__name__}.") from error
        if response.status != http.client.OK:
            raise Unavailable(f"The Extensions API answers {response.status}.")
