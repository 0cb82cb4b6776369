"""Callers of our APIs whose requests need no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from quicksilver.aws.api import ApiAnswer
from quicksilver.registry_api import RegistryApi
from tests.documented_answers import documented


class InProcess:
    """An API client whose requests reach the registry function's API without a network, as a person's."""

    def __init__(self, api: RegistryApi, who: str) -> None:
        self._api, self._who = api, who
        self.sent: list[str] = []

    def request(
        self, method: str, path: str, *, query: Mapping[str, str | int] | None = None, body: bytes = b""
    ) -> ApiAnswer:
        self.sent.append(f"{method} {path}" + (f"?{urlencode(query)}" if query else ""))
        event = {
            "httpMethod": method,
            "path": path,
            "queryStringParameters": {name: str(value) for name, value in query.items()} if query else None,
            "body": body.decode() or None,
            "requestContext": {"requestId": "r", "identity": {"userArn": self._who}},
        }
        answer = documented(self._api.answer(event), path, method)
        return ApiAnswer(answer["statusCode"], answer["headers"], json.loads(answer["body"]))
