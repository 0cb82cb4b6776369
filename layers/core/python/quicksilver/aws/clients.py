"""boto3 clients, made once per process, with limits that suit where they are used.

botocore's defaults (60 s to connect, 60 s to read, five attempts) would outlive any request.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
from botocore.config import Config

PROMPT = Config(
    connect_timeout=0.5,
    read_timeout=2,
    retries={"total_max_attempts": 2, "mode": "standard"},
    tcp_keepalive=True,
)
"""Beside the request path: the work after an answer, where a hung call would use up the function's time."""

STEADY = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 4, "mode": "standard"})
"""Off the request path."""

PARALLEL = STEADY.merge(Config(max_pool_connections=32))
"""For readers that fetch many objects at once."""


def within(seconds: float) -> Config:
    """On the request path: one attempt that ends within ``seconds``; the adapter retries while there is time."""
    return Config(
        connect_timeout=seconds * 0.3,
        read_timeout=seconds * 0.7,
        retries={"total_max_attempts": 1, "mode": "standard"},
        tcp_keepalive=True,
        max_pool_connections=4,
    )


@cache
def client(service: str, config: Config = STEADY) -> Any:
    """The process's client of a service. Credentials, region and endpoint come from the environment."""
    return boto3.client(service, config=config)
