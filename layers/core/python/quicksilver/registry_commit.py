"""How a change of the registry is made: decide on the state as it is, commit, and decide anew where a rival was faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quicksilver.errors import Conflict
from quicksilver.history import Action, Entry, Head
from quicksilver.instants import utc_iso
from quicksilver.model_version import ModelVersion
from quicksilver.ports import Change, Clock, RegistryStore
from quicksilver.routing import Route

_ATTEMPTS = 200
"""Of rivals that meet, one gets through in each round; more rivals than this at one endpoint is a fault."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule decided to write. ``is_new`` says that the model version takes the endpoint's next number."""

    action: Action
    subject: str
    reason: str = ""
    details: Mapping[str, Any] | None = None
    model_version: ModelVersion | None = None
    is_new: bool = False
    route: Route | None = None


class NothingToDo(Exception):
    """Raised by a rule that finds its wish fulfilled already, by the model version it carries."""

    def __init__(self, model_version: ModelVersion) -> None:
        super().__init__(model_version.name)
        self.model_version = model_version


Rule = Callable[[Head, str], Decision]
"""Decides on an endpoint's head and the moment of the change (UTC ISO-8601)."""


class Committer:
    """Makes changes, one endpoint at a time, by any number of rivals at once."""

    def __init__(self, store: RegistryStore, clock: Clock, pause: Callable[[int], None]) -> None:
        self._store = store
        self._clock = clock
        self._pause = pause

    def commit(self, endpoint: str, rule: Rule, *, who: str) -> Decision:
        """Make the change a rule decides on, with its entry in the history; returns what was decided.

        Raises what the rule raises, and ``Conflict`` where rivals never left room.
        """
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pause(attempt)
            head = self._store.head(endpoint)
            # A writer whose clock is behind must not make history run backwards.
            now = max(utc_iso(self._clock.now_ms()), head.at)
            decision = rule(head, now)
            try:
                self._store.commit(_change(head, now, decision, who))
            except Conflict:
                continue
            return decision
        raise Conflict(f"Too many writers are changing the registry of {endpoint}; try again.")


def _change(head: Head, now: str, decision: Decision, who: str) -> Change:
    entry = Entry(
        endpoint=head.endpoint,
        number=head.history + 1,
        previous_sha256=head.sha256,
        action=decision.action,
        subject=decision.subject,
        who=who,
        at=now,
        reason=decision.reason,
        details=dict(decision.details or {}),
    )
    following = head.next(
        entry,
        models=head.models + 1 if decision.is_new else None,
        route=decision.route.number if decision.route else None,
    )
    return Change(head, following, entry, decision.model_version, decision.route)
