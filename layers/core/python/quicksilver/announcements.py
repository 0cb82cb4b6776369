"""Announcements: every entry of an endpoint's history, told to machines as events and to people as a message.

The history is the outbox. A cursor says how far it has been announced; what follows is announced, and then the cursor
is moved. Whoever is killed between the two announces the same again, under the same ids, and nothing is left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from quicksilver.history import Action, Entry
from quicksilver.ports import Announcement, AnnouncementCursor, Announcer, Event, RegistryStore

SOURCE = "quicksilver"
"""What events are from; our function alone may say so."""

SCHEMA_VERSION = 1

MAX_DETAILS_BYTES = 200_000
"""EventBridge takes 256 KB an event, all of it counted. Details that are larger are to be read in the history."""

MAX_SUBJECT = 100
"""Characters of a message's subject; Amazon SNS refuses more."""

PAGE = 100


class DetailType(StrEnum):
    """What an event is of. One entry may be two things: a decision that changed the route."""

    ROUTE_CHANGED = "RouteChanged"
    ROLLOUT_DECISION = "RolloutDecision"
    REGISTRY_CHANGED = "RegistryChanged"


class Detail(BaseModel):
    """The detail of an event, version 1. Consumers that have seen an ``id`` of a detail type need not see it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    id: str
    """``<endpoint>/<number of the history entry>``."""
    stage: str
    endpoint: str
    action: Action
    subject: str
    who: str
    at: str
    reason: str
    entry_sha256: str
    details: dict[str, Any] | None
    """As the history has them: of a route, the route; of a decision, ``rollout.look`` with its numbers."""


def announcement(entry: Entry, stage: str) -> Announcement:
    """What is announced of a history entry; the same for the same entry."""
    fits = len(json.dumps(entry.details, ensure_ascii=False).encode()) <= MAX_DETAILS_BYTES
    detail = Detail(
        id=f"{entry.endpoint}/{entry.number}",
        stage=stage,
        endpoint=entry.endpoint,
        action=entry.action,
        subject=entry.subject,
        who=entry.who,
        at=entry.at,
        reason=entry.reason,
        entry_sha256=entry.sha256,
        details=entry.details if fits else None,
    )
    content = detail.model_dump_json()
    return Announcement(
        id=detail.id,
        endpoint=entry.endpoint,
        events=tuple(Event(kind, content) for kind in _kinds(entry)),
        subject=one_line(f"[{stage}] {_headline(entry)}"),
        text=_text(entry, stage),
    )


@dataclass(frozen=True, slots=True)
class Announcements:
    """Tells of what the histories of a stage's endpoints say."""

    stage: str
    history: RegistryStore
    cursor: AnnouncementCursor
    announcer: Announcer

    def catch_up(self, endpoint: str) -> int:
        """Announce what no run has announced yet, in order; returns how many entries. Raises ``Unavailable``.

        Two runs at once may both announce an entry; neither can move the cursor back, or past what was announced.
        """
        reached = self.cursor.position(endpoint)
        announced = 0
        while entries := self.history.history(endpoint, after=reached, limit=PAGE):
            for entry in entries:
                self.announcer.announce(announcement(entry, self.stage))
                self.cursor.move(endpoint, entry.number)
                reached = entry.number
                announced += 1
        return announced


def _kinds(entry: Entry) -> Sequence[DetailType]:
    kinds = []
    if "look" in _facts(entry, "rollout"):
        kinds.append(DetailType.ROLLOUT_DECISION)
    if entry.action is Action.ROUTED:
        kinds.append(DetailType.ROUTE_CHANGED)
    return kinds or [DetailType.REGISTRY_CHANGED]


def _facts(entry: Entry, of: str) -> dict[str, Any]:
    """What the history says of the ``route``, the ``rollout`` or the ``experiment``; nothing where it is of none."""
    facts = entry.details.get(of)
    return facts if isinstance(facts, dict) else {}


# -- what a person reads --


def _headline(entry: Entry) -> str:
    if entry.action is Action.JUDGED:
        return f"{entry.endpoint}: {entry.subject} holds"
    for mover in ("rollout", "experiment"):
        moved = _facts(entry, mover)
        if move := moved.get("move"):
            words = str(move).replace("_", " ")
            return f"{entry.endpoint}: {mover} {moved.get('number')} {words}; {_shares(entry)}"
    if entry.action is Action.ROUTED:
        return f"{entry.endpoint}: {entry.subject}; {_shares(entry)}"
    return f"{entry.subject}: {entry.action.value.replace('_', ' ')}"


def _shares(entry: Entry) -> str:
    arms = [arm for arm in _facts(entry, "route").get("arms", ()) if arm["share_bp"]]
    return ", ".join(f"{arm['model']} {arm['share_bp'] / 100:g} %" for arm in arms)


def _text(entry: Entry, stage: str) -> str:
    lines = [_headline(entry) + ".", "", f"Why: {entry.reason or 'no reason is given'}"]
    look = _facts(entry, "rollout").get("look")
    if isinstance(look, dict):
        lines += [
            f"Requests: {look['canary_requests']:,} of the canary, {look['champion_requests']:,} of the champion",
            f"This step: {look['step_requests']:,} of the canary in {look['baked_seconds']:,} s",
            *(f"- {guard['sentence']}" for guard in look["guards"]),
        ]
    return "\n".join(
        [
            *lines,
            "",
            f"By: {entry.who}",
            f"At: {entry.at}",
            f"Stage: {stage}; entry {entry.number} of the history of {entry.endpoint}",
        ]
    )


def one_line(text: str) -> str:
    """Fit for a message's subject: printable ASCII on one line."""
    plain = "".join(character if " " <= character <= "~" else "?" for character in text)
    return plain if len(plain) <= MAX_SUBJECT else plain[: MAX_SUBJECT - 3] + "..."
