"""A model version: an immutable registered model package, how one is named, and what has been decided about it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName

MODEL_NAME = re.compile(r"^([a-z][a-z0-9-]{0,38}[a-z0-9])@([1-9][0-9]{0,8})$")
"""A model version as people write it, ``card-fraud@12``: its endpoint and its number."""

ModelName = Annotated[str, Field(pattern=MODEL_NAME.pattern)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Reason = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"\S")]
Identity = Annotated[str, Field(min_length=1, max_length=2_048)]
"""An IAM identity as AWS writes it: its ARN."""


def who(identity: str) -> str:
    """An IAM identity in short: what follows the account in its ARN."""
    return identity.rpartition(":")[2] or identity


class State(StrEnum):
    REGISTERED = "registered"  # its bytes are verified
    GATED = "gated"  # its evidence lets a person approve it
    APPROVED = "approved"  # it may answer
    RETIRED = "retired"  # it has answered and must not again
    REJECTED = "rejected"  # it must never answer


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Override(_Value):
    """A person's word that failed checks do not stand in the way, until a moment."""

    checks: Annotated[tuple[str, ...], Field(min_length=1)]
    reason: Reason
    approver: Identity
    at: str
    expires_at: str


class Approval(_Value):
    """A person's word that a model version may answer, signed: whoever has the key can check every part of it."""

    endpoint: EndpointName
    number: int
    package_sha256: Sha256
    evidence_sha256: Sha256
    approver: Identity
    reason: Reason
    at: str
    signature: str = ""
    """Base64 of an ECDSA signature (DER) over ``digest``."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON of everything but the signature."""
        content = self.model_dump(mode="json", exclude={"signature"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).digest()

    @property
    def signature_bytes(self) -> bytes:
        return base64.b64decode(self.signature)

    def signed(self, signature: bytes) -> Approval:
        return self.model_copy(update={"signature": base64.b64encode(signature).decode()})


class ModelVersion(_Value):
    """An immutable registered model package; only what is decided about it changes."""

    endpoint: EndpointName
    number: Annotated[int, Field(ge=1)]
    package_sha256: Sha256
    fingerprint: Sha256
    author: Identity
    registered_at: str
    state: State = State.REGISTERED
    evidence_sha256: Sha256 | None = None
    failed_checks: tuple[str, ...] = ()
    override: Override | None = None
    approval: Approval | None = None

    @property
    def name(self) -> str:
        return f"{self.endpoint}@{self.number}"
