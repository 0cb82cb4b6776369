"""The scoring API as the doctor asks it: unsigned, without an API key, and as a caller."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from quicksilver.aws.api import ApiClient
from quicksilver.errors import Unavailable
from quicksilver.stage_state import ApiAnswered

_EMPTY = b"{}"


class ProbedApi:
    """``client`` makes a signing client, with the stage's API key or without."""

    def __init__(self, base_url: str, client: Callable[[bool], ApiClient]) -> None:
        self._base_url = base_url
        self._keyed, self._keyless = client(True), client(False)
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=30), retries=False)

    def unsigned(self, path: str) -> int:
        try:
            response = self._pool.request(
                "POST", self._base_url + path, body=_EMPTY, headers={"Content-Type": "application/json"}
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"The API cannot be reached: {type(error).__name__}.") from error
        return response.status

    def without_key(self, path: str) -> int:
        return self._keyless.post(path, _EMPTY).status

    def post(self, path: str, body: Mapping[str, Any]) -> ApiAnswered:
        answer = self._keyed.post(path, json.dumps(body).encode())
        return ApiAnswered(answer.status, answer.content)
