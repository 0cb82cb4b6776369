"""The history: every change of an endpoint's registry, each entry bound to the one before it by its hash.

Who changes an entry changes its hash, and with it every later one; who removes one breaks the numbers.
The chain proves order and content to whoever remembers any later hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName
from quicksilver.model_version import Identity, Sha256

GENESIS = "0" * 64
"""What the first entry names as the hash of the one before it."""


class Action(StrEnum):
    REGISTERED = "registered"
    GATED = "gated"
    GATE_FAILED = "gate_failed"
    OVERRIDDEN = "overridden"
    APPROVED = "approved"
    REJECTED = "rejected"
    RETIRED = "retired"
    ROUTED = "routed"
    JUDGED = "judged"  # a rollout was looked at and held, for a reason it had not been held for at this step


class Entry(BaseModel):
    """One change: what was done to which subject, by whom, when and why.

    ``subject`` is a model version's name, ``route <number>`` or ``rollout <number>``; ``details`` are the facts a verifier needs,
    such as digests and the route itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: EndpointName
    number: Annotated[int, Field(ge=1)]
    previous_sha256: Sha256
    action: Action
    subject: str
    who: Identity
    at: str
    reason: str = ""
    details: dict[str, Any] = Field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of the whole entry, the previous hash included.

        Computed at every call: pydantic's ``model_copy`` would carry a cached one over to other content.
        """
        text = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()


class Head(BaseModel):
    """Where an endpoint's registry stands: every change moves it on, so whoever moves it has seen the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: EndpointName
    history: int = 0
    sha256: Sha256 = GENESIS
    at: str = ""
    models: int = 0
    route: int = 0

    def next(self, entry: Entry, *, models: int | None = None, route: int | None = None) -> Head:
        return Head(
            endpoint=self.endpoint,
            history=entry.number,
            sha256=entry.sha256,
            at=entry.at,
            models=self.models if models is None else models,
            route=self.route if route is None else route,
        )


def chain_breaks(entries: Iterable[Entry], head: Head, *, after: Entry | None = None) -> list[str]:
    """Every place where entries, from the first on, are not a chain that ends in ``head``; none means it holds.

    With ``after``, an entry that is taken on trust, they are those that follow it.
    """
    breaks = []
    previous, number, at = (after.sha256, after.number, after.at) if after else (GENESIS, 0, "")
    for entry in entries:
        if entry.number != number + 1:
            breaks.append(f"entry {number + 1} is missing: entry {entry.number} follows entry {number}")
        if entry.previous_sha256 != previous:
            breaks.append(f"entry {entry.number} does not follow the entry before it")
        if entry.at < at:
            breaks.append(f"entry {entry.number} is earlier than the entry before it")
        previous, number, at = entry.sha256, entry.number, entry.at
    if (number, previous) != (head.history, head.sha256):
        breaks.append(
            f"the history ends with entry {number}, and the registry's head names entry {head.history}"
        )
    return breaks
