"""One function version, asked until it answers by the route in question.

An environment takes up a new route after an answer, and there may be many: each is asked again until it has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydantic import ValidationError

from quicksilver.code_release import CHECK
from quicksilver.code_release.check import (
    Check,
    Checked,
    GoldenAnswer,
    GoldenCheck,
    Rehearsal,
    RehearsalAnswer,
)
from quicksilver.code_release.deployment import FunctionVersions
from quicksilver.errors import QuicksilverError, ReleaseRefused
from quicksilver.ports import Clock, Deadline

logger = logging.getLogger(__name__)

ROUTES = 3
"""How many routes are checked, where they change during the check."""
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 60
"""How long an environment may take to load a route's models."""


class RouteMoved(ReleaseRefused):
    """There is a newer route than the one that is checked."""


class Conversation:
    """Asks ``version`` of ``function``; ``patience_seconds`` is how long it may take to answer by the route."""

    def __init__(
        self,
        versions: FunctionVersions,
        function: str,
        version: str,
        *,
        clock: Clock,
        pause: Callable[[float], None],
        patience_seconds: int = PATIENCE_SECONDS,
    ) -> None:
        self.version = version
        self._versions = versions
        self._function = function
        self._clock = clock
        self._pause = pause
        self._patience_ms = patience_seconds * 1_000

    def ask(self, check: Check) -> Checked:
        """Raises ``Unavailable`` where it fails, ``ReleaseRefused`` where it does not answer by the route in time or knows
        no such check, and ``RouteMoved`` where it answers by a newer one already."""
        give_up = Deadline.after_ms(self._clock, self._patience_ms)
        while True:
            checked = self._checked(check)
            if checked.route == check.route and not checked.notes:
                return checked
            if checked.route > check.route:
                raise RouteMoved(f"Function version {self.version} answers by route {checked.route} already.")
            if give_up.remaining_seconds() <= 0:
                why = ", ".join(checked.notes) or f"it answers by route {checked.route or 'none'}"
                raise ReleaseRefused(
                    f"Function version {self.version} does not answer by route {check.route}: {why}."
                )
            self._pause(PAUSE_SECONDS)

    def _checked(self, check: Check) -> Checked:
        answer = self._versions.ask(self._function, self.version, {CHECK: check.model_dump(mode="json")})
        try:
            checked = Checked.model_validate(answer)
        except ValidationError:
            failed = answer.get("failed") if isinstance(answer, dict) else None
            why = f"fails a check: {failed}" if failed else "does not know this check"
            raise ReleaseRefused(f"Function version {self.version} {why}.") from None
        if checked.function_version != self.version:
            raise ReleaseRefused(
                f"Function version {checked.function_version} answered in the place of {self.version}."
            )
        return checked


class Live:
    """The function version that has the traffic, for as long as it can be compared with.

    A release may be what mends it. So whatever keeps it from answering stops nothing, and is said: golden rows alone must
    do then.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.version = conversation.version
        self.incomparable = ""
        """Why it is not compared with, where it is not."""

    def golden(self, check: GoldenCheck) -> GoldenAnswer | None:
        checked = self._ask(check)
        return checked.golden if checked else None

    def rehearsal(self, check: Rehearsal) -> RehearsalAnswer | None:
        checked = self._ask(check)
        return checked.rehearsal if checked else None

    def _ask(self, check: Check) -> Checked | None:
        if self.incomparable:
            return None
        try:
            return self._conversation.ask(check)
        except RouteMoved:
            raise
        except QuicksilverError as error:
            self.incomparable = str(error)
            logger.warning("the live function version is not compared with: %s", error)
            return None
