"""Provisioned concurrency of function versions around a release.

It is a function version's own (ADR 0003). The one that is to get traffic has it before, also when a release goes back to one
that had given it up; those that have no traffic any more give it up after.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from quicksilver.errors import ReleaseRefused, Unavailable
from quicksilver.ports import Clock, Deadline

logger = logging.getLogger(__name__)

READY_SECONDS = 5 * 60
PAUSE_SECONDS = 5.0


class ProvisionedStatus(StrEnum):
    """As Lambda has it."""

    IN_PROGRESS = "IN_PROGRESS"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A function version's provisioned concurrency, and why it failed where it did."""

    status: ProvisionedStatus
    reason: str = ""


class ProvisionedConcurrency(Protocol):
    """Every call may raise ``Unavailable``."""

    def of(self, function: str, version: str) -> Provisioned | None: ...

    def put(self, function: str, version: str, executions: int) -> None: ...

    def versions(self, function: str) -> Sequence[str]:
        """The function versions that have any."""
        ...

    def release(self, function: str, version: str) -> None: ...


class Warmth:
    """What of it a release needs, and leaves."""

    def __init__(
        self, concurrency: ProvisionedConcurrency, *, clock: Clock, pause: Callable[[float], None]
    ) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._pause = pause

    def make_ready(self, function: str, version: str, executions: int) -> str:
        """Wait until a function version has its provisioned concurrency, and put it where there is none.

        How much there is, is not looked at: it follows the traffic. Raises ``ReleaseRefused`` where it fails or takes
        longer than five minutes.
        """
        give_up = Deadline.after_ms(self._clock, READY_SECONDS * 1_000)
        asked = False
        while True:
            found = self._concurrency.of(function, version)
            if found is None and not asked:
                self._concurrency.put(function, version, executions)
                asked = True
            elif found and found.status is ProvisionedStatus.READY:
                put = f" It had none, and was given {executions}." if asked else ""
                return f"The provisioned concurrency of function version {version} is ready.{put}"
            elif found and found.status is ProvisionedStatus.FAILED:
                raise ReleaseRefused(
                    f"The provisioned concurrency of function version {version} failed: {found.reason or 'no reason'}."
                )
            if give_up.remaining_seconds() <= 0:
                raise ReleaseRefused(
                    f"The provisioned concurrency of function version {version} is not ready after "
                    f"{READY_SECONDS // 60} minutes."
                )
            self._pause(PAUSE_SECONDS)

    def release_others(self, function: str, version: str) -> Iterator[str]:
        """Release that of every other function version; what could not be released is said, and is with the next release.

        It costs money and no answer: a release that is good does not fail for it.
        """
        try:
            others = sorted(set(self._concurrency.versions(function)) - {version}, key=int)
        except Unavailable as error:
            logger.error("provisioned concurrency is not released: %s", error)
            yield f"Provisioned concurrency is not released: {error}"
            return
        for other in others:
            try:
                self._concurrency.release(function, other)
            except Unavailable as error:
                logger.error("provisioned concurrency is not released: %s", error)
                yield f"The provisioned concurrency of function version {other} is not released: {error}"
            else:
                yield f"The provisioned concurrency of function version {other} is released."
