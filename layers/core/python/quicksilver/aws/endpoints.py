"""Which address a service has, told from the environment by AWS's own variable names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from botocore.exceptions import NoRegionError

from quicksilver.errors import InvalidInput

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")
# Partitions without a line here (us-iso, us-isob, eusc, ...) have suffixes of their own.
# https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
_SUFFIXES = (("cn-", "amazonaws.com.cn"), ("us-iso", ""), ("eu-iso", ""), ("eusc-", ""))


def region_from(environment: Mapping[str, str]) -> str:
    """Raises botocore's ``NoRegionError`` where there is none."""
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if not region:
        raise NoRegionError
    return region


def given_endpoint(service: str, environment: Mapping[str, str]) -> str | None:
    """The address that somebody has set for a service or for all of AWS: an emulator, a VPC endpoint."""
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    named = environment.get(f"AWS_ENDPOINT_URL_{service.upper()}")
    return named or environment.get("AWS_ENDPOINT_URL") or None


def is_known_region(region: str) -> bool:
    return bool(_suffix(region))


def regional_host(service: str, region: str) -> str:
    """AWS's own host name. Raises ``InvalidInput`` for a region whose partition we do not know."""
    suffix = _suffix(region)
    if not suffix:
        raise InvalidInput(
            f"The host of {service} in the region {region!r} is not known; set AWS_ENDPOINT_URL_{service.upper()}."
        )
    return f"{service}.{region}.{suffix}"


def _suffix(region: str) -> str:
    if not _REGION.fullmatch(region):
        return ""
    return next((suffix for start, suffix in _SUFFIXES if region.startswith(start)), "amazonaws.com")
