"""The score function's clients: lean ones, or boto3's where the environment asks for what only boto3 knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from quicksilver.aws import json_client, s3_client
from quicksilver.aws.connections import Limits
from quicksilver.aws.endpoints import given_endpoint, is_known_region
from quicksilver.aws.system import pause

_JSON_CLIENTS = {
    kind.service: kind
    for kind in (json_client.DynamoDBClient, json_client.KinesisClient, json_client.KmsClient)
}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_VARIANTS = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")


def hot_client(
    service: str, seconds: float, *, attempts: int = 1, environment: Mapping[str, str] | None = None
) -> Any:
    """A client whose every attempt ends within ``seconds``; ``attempts`` other than 1 is for S3 only.

    ``environment`` is this process's, as it is at the call, unless another is given.
    """
    environment = os.environ if environment is None else environment
    if needs_boto3(service, environment):
        from quicksilver.aws.clients import client, within

        return client(service, within(seconds, attempts=attempts))
    # As `within` has it for boto3: a host that is there takes a connection soon.
    connect_seconds, read_seconds = seconds * 0.3, seconds * 0.7
    if service == "s3":
        limits = Limits(connect_seconds, read_seconds, s3_client.MAX_BODY_BYTES)
        return s3_client.S3Client(limits, attempts=attempts, pause=pause, environment=environment)
    limits = Limits(connect_seconds, read_seconds, json_client.MAX_BODY_BYTES)
    return _JSON_CLIENTS[service](limits, environment=environment)


def needs_boto3(service: str, environment: Mapping[str, str]) -> bool:
    """Whether there is a proxy, a FIPS or dual-stack host, or a region that is named in a profile or little known."""
    if any(environment.get(name) or environment.get(name.lower()) for name in _PROXIES):
        return True
    if any(environment.get(name, "").lower() == "true" for name in _VARIANTS):
        return True
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return not region or not (given_endpoint(service, environment) or is_known_region(region))
