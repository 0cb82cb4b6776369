"""A name of one's own for an API, and who may open a connection to it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stacks.config.setting import Setting, require

_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_CERTIFICATE = re.compile(r"arn:aws[a-z-]*:acm:(?P<region>[a-z0-9-]+):\d{12}:certificate/[0-9a-f-]{36}")
_TRUSTSTORE = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>\S+)")
_ZONE_ID = re.compile(r"Z[A-Z0-9]{6,31}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Truststore(Setting):
    """The certificate authorities whose clients may connect (mutual TLS): a PEM file in S3, at one version of it, so that who
    may connect changes by a deployment only."""

    uri: str
    version: str

    def __post_init__(self) -> None:
        require(
            _TRUSTSTORE.fullmatch(self.uri) is not None,
            f"{self.uri!r} is no file in Amazon S3, such as s3://risk-truststores/engines.pem.",
        )
        require(self.version.strip() != "", f"The truststore {self.uri} needs a version of the object.")

    @property
    def bucket(self) -> str:
        return self._part("bucket")

    @property
    def key(self) -> str:
        return self._part("key")

    def _part(self, name: str) -> str:
        found = _TRUSTSTORE.fullmatch(self.uri)
        return found[name] if found else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedZone(Setting):
    """The zone at Route 53 that holds the name's record."""

    id: str
    name: str

    def __post_init__(self) -> None:
        require(
            _ZONE_ID.fullmatch(self.id) is not None,
            f"{self.id!r} is no hosted zone's id, such as Z0123456789ABCDEFGHIJ.",
        )
        require(_NAME.fullmatch(self.name) is not None, f"{self.name!r} is no hosted zone's name.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain(Setting):
    """The name of one API, with a certificate for it in the stage's own region. Without a ``hosted_zone``, whoever keeps the
    name points it to the stack's output. With a ``truststore``, the API has no other address."""

    name: str
    certificate_arn: str
    truststore: Truststore | None = None
    hosted_zone: HostedZone | None = None

    def __post_init__(self) -> None:
        require(
            _NAME.fullmatch(self.name) is not None,
            f"{self.name!r} is no domain name, such as scoring.risk.example.com.",
        )
        require(
            _CERTIFICATE.fullmatch(self.certificate_arn) is not None,
            f"The domain {self.name} has {self.certificate_arn!r}, which is no certificate of AWS Certificate Manager.",
        )
        zone = self.hosted_zone
        require(
            zone is None or self.name == zone.name or self.name.endswith(f".{zone.name}"),
            f"The domain {self.name} is not within its hosted zone {zone.name if zone else ''}.",
        )

    @property
    def region(self) -> str:
        """Where its certificate is."""
        found = _CERTIFICATE.fullmatch(self.certificate_arn)
        return found["region"] if found else ""

    @property
    def url(self) -> str:
        return f"https://{self.name}/"
