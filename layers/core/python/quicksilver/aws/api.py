"""A caller of the stage's APIs: signs each request (SigV4) and sends it over kept-alive connections."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from quicksilver.errors import Unavailable
from quicksilver.reasons import Wanted
from quicksilver.request import DEADLINE_HEADER, IDEMPOTENCY_HEADER, REASONS_PARAMETER


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What the API said. ``content`` is the decoded JSON, or the text where it is not JSON; ``body`` is as it came."""

    status: int
    headers: Mapping[str, str]
    content: Any
    body: bytes = b""


def api_url(url: str, endpoint_url: str | None) -> str:
    """The base address of an API deployed at ``url``, without a slash at its end.

    An emulator of AWS, at ``endpoint_url``, answers for every API under its own address, by the API's id.
    """
    url = url.rstrip("/")
    if endpoint_url is None:
        return url
    api_id = str(urlsplit(url).hostname).partition(".")[0]
    return f"{endpoint_url}/_aws/execute-api/{api_id}/{url.rpartition('/')[2]}"


class ApiClient:
    """Safe to use from several threads. ``api_key`` is for an API that meters its callers, ``client_certificate`` (a PEM file of
    certificate and key) for one that asks who connects.

    An answer is waited for ``seconds``: API Gateway gives up after 29 s, so nothing is to be had by waiting longer.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Any,
        region: str,
        *,
        api_key: str | None = None,
        client_certificate: str | None = None,
        seconds: float = 30,
    ) -> None:
        self._base_url = base_url
        self._credentials = credentials
        self._region = region
        # A firewall before the API lets nobody through who doesn't say what they are.
        self._headers = {"Content-Type": "application/json", "User-Agent": "quicksilver"}
        if api_key:
            self._headers["x-api-key"] = api_key
        self._pool = urllib3.PoolManager(
            maxsize=16,
            timeout=urllib3.Timeout(connect=5, read=seconds),
            retries=False,
            cert_file=client_certificate,
        )

    def score(
        self,
        endpoint: str,
        request: Mapping[str, Any],
        *,
        reasons: Wanted | None = None,
        deadline_ms: int | None = None,
        idempotency_key: str | None = None,
    ) -> ApiAnswer:
        """Score one request given as a JSON object."""
        headers = {} if deadline_ms is None else {DEADLINE_HEADER: str(deadline_ms)}
        if idempotency_key is not None:
            headers[IDEMPOTENCY_HEADER] = idempotency_key
        return self.request(
            "POST",
            f"/v1/{endpoint}/score",
            query={REASONS_PARAMETER: reasons} if reasons else None,
            headers=headers,
            body=json.dumps(request).encode(),
        )

    def post(self, path: str, body: bytes, *, headers: Mapping[str, str] | None = None) -> ApiAnswer:
        """Post a body as it is. Raises ``Unavailable`` where the API cannot be reached."""
        return self.request("POST", path, body=body, headers=headers)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> ApiAnswer:
        """Send one request as it is. Raises ``Unavailable`` where the API cannot be reached."""
        url = self._base_url + path
        if query:
            # What is signed is the query as it is sent; SigV4 leaves only unreserved characters as they are.
            url += "?" + urlencode(query, quote_via=quote, safe="")
        signed = AWSRequest(method, url, data=body, headers={**self._headers, **(headers or {})})
        SigV4Auth(self._credentials, "execute-api", self._region).add_auth(signed)
        try:
            response = self._pool.request(method, url, body=body, headers=dict(signed.headers.items()))
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"The API cannot be reached: {type(error).__name__}.") from error
        text = response.data.decode(errors="replace")
        try:
            content = json.loads(text)
        except ValueError:
            content = text
        return ApiAnswer(response.status, response.headers, content, response.data)
