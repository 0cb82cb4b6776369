"""boto3 clients, made once per process, with limits that suit where they are used.

botocore's defaults (60 s to connect, 60 s to read, five attempts) would outlive any request.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from quicksilver.aws.api import ApiClient, api_url
from quicksilver.aws.endpoints import given_endpoint

STEADY = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 4, "mode": "standard"})
"""Off the request path."""

PARALLEL = STEADY.merge(Config(max_pool_connections=32))
"""For readers that fetch many objects at once."""

INVOKING = Config(
    connect_timeout=2,
    read_timeout=910,
    retries={"total_max_attempts": 1, "mode": "standard"},
    tcp_keepalive=True,
)
"""For who waits for a function, which Lambda lets run for fifteen minutes: a call that was given up is not taken back, and
made again it would run the function twice."""


def within(seconds: float, *, attempts: int = 1) -> Config:
    """Calls whose every attempt ends within ``seconds``, for where somebody waits."""
    return Config(
        connect_timeout=seconds * 0.3,
        read_timeout=seconds * 0.7,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        tcp_keepalive=True,
        max_pool_connections=4,
    )


def api_client(url: str, *, seconds: float) -> ApiClient:
    """A caller of an API of this stage, as the process's own identity and region."""
    session = boto3.Session()
    return ApiClient(
        api_url(url, given_endpoint("execute-api", os.environ)),
        session.get_credentials(),
        session.region_name,
        seconds=seconds,
    )


@cache
def client(service: str, config: Config = STEADY) -> Any:
    """The process's client of a service. Credentials, region and endpoint come from the environment."""
    return boto3.client(service, config=config)
