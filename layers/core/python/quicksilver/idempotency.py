"""Idempotency: one decision for each ``Idempotency-Key`` of a caller, and the same bytes whenever it is asked for again.

::

    key free ──take──> held by an attempt ──take with its answer──> answered, until it expires
                            │  failed: release          '── asked again: the stored bytes
                            └──> free                   '── asked otherwise: KeyReused
       ended without a word: free again when Lambda must have killed the attempt

Only a decision is stored. An attempt that fails releases the key, so that the next one may succeed. What asks
while an attempt is under way waits for its answer, for half of its own time; then it is told (``KeyInFlight``).

A key that cannot be held, or an answer that cannot be stored, costs no decision: it is given, and marked
(ADR 0019).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256

from quicksilver.errors import KeyInFlight, KeyReused, Unavailable
from quicksilver.metrics import Metric
from quicksilver.ports import Clock, Deadline, Hold, IdempotencyStore, Metrics

logger = logging.getLogger(__name__)

STATUS_HEADER = "Idempotency-Status"

_WAIT_SHARE = 0.5
"""How much of its time a request waits for another's answer. The rest is for a decision of its own, if the other
fails: one that had no time left to read features would be stored, and repeated for as long as the key lives."""
_TAKE_SHARE = 0.25
"""How much of its time a request waits for the key itself. The store answers in single-digit milliseconds or not soon."""
_KEEP_SHARE = 0.2
_KEEP_SECONDS = 0.025
"""What is kept of a request's time for storing its answer, and a fifth of it at the most."""


class KeyStatus(StrEnum):
    """What the key was worth to an answer."""

    STORED = "stored"  # a decision was made, and every repetition gets its bytes
    REPLAYED = "replayed"  # the bytes of an earlier decision
    UNAVAILABLE = "unavailable"  # a decision was made, and a repetition may get another


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """What one caller asks under a key: ``payload`` is everything that the decision depends on."""

    caller: str
    key: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class KeyedAnswer:
    """``body`` is what ``decide`` made, now or for an earlier request."""

    body: str
    status: KeyStatus


class Idempotency:
    """One endpoint's keys. Everything it touches is passed in."""

    def __init__(
        self,
        endpoint: str,
        store: IdempotencyStore,
        *,
        clock: Clock,
        metrics: Metrics,
        pause: Callable[[int, float], None],
        new_attempt: Callable[[], str],
        attempt_seconds: int,
        keep_seconds: int,
    ) -> None:
        """``attempt_seconds`` is when an attempt is over, come what may: the function's timeout.

        ``keep_seconds`` is how long an answer is repeated, ``new_attempt`` makes an id nobody else has, and
        ``pause(attempt, most_seconds)`` waits before a key is asked for again.
        """
        self._endpoint = endpoint
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._pause = pause
        self._new_attempt = new_attempt
        self._attempt_ms = attempt_seconds * 1_000
        self._keep_ms = keep_seconds * 1_000

    def answer(
        self, request: KeyedRequest, deadline: Deadline, decide: Callable[[Deadline], str]
    ) -> KeyedAnswer:
        """The key's answer: the stored one, or what ``decide`` makes by the deadline it is given.

        Raises ``KeyReused`` or ``KeyInFlight``, and whatever ``decide`` raises; then the key is free again.
        """
        mine = Hold(
            key=scoped(self._endpoint, request.caller, request.key),
            attempt=self._new_attempt(),
            payload_sha256=sha256(request.payload).hexdigest(),
        )
        theirs = self._claim(mine, deadline)
        if theirs is not None:
            self._metrics.count(Metric.REQUESTS_REPLAYED)
            return KeyedAnswer(theirs, KeyStatus.REPLAYED)
        kept_seconds = min(_KEEP_SECONDS, max(0.0, deadline.remaining_seconds()) * _KEEP_SHARE)
        try:
            answer = decide(deadline.sooner(kept_seconds))
        except Exception:
            self._release(mine, _share(deadline, _TAKE_SHARE, least_seconds=kept_seconds))
            raise
        if self._keep(mine, answer, _share(deadline, _TAKE_SHARE, least_seconds=kept_seconds)):
            return KeyedAnswer(answer, KeyStatus.STORED)
        self._metrics.count(Metric.REQUESTS_UNGUARDED)
        return KeyedAnswer(answer, KeyStatus.UNAVAILABLE)

    def _claim(self, mine: Hold, deadline: Deadline) -> str | None:
        """Take the key, or another attempt's answer; ``None`` is that the decision is ours to make.

        It is too where the store does not say who has the key. What was said stands, though: a request that is
        known to be answered by another attempt is never decided a second time for want of news.
        """
        waits_until = _share(deadline, _WAIT_SHARE)
        holder: Hold | None = None
        asked = 0
        while True:
            try:
                holder = self._take(mine, self._attempt_ms, _share(deadline, _TAKE_SHARE))
            except Unavailable as error:
                logger.warning("a key could not be taken: %s", error)
            if holder is None or holder.attempt == mine.attempt:
                return None
            if holder.payload_sha256 != mine.payload_sha256:
                raise KeyReused("The key has been used for another request.")
            if holder.answer is not None:
                return holder.answer
            asked += 1
            left = waits_until.remaining_seconds()
            if left <= 0:
                raise KeyInFlight("Another request with this key is being answered; try again.")
            self._pause(asked, left)

    def _keep(self, mine: Hold, answer: str, deadline: Deadline) -> bool:
        """Whether the answer is the key's from now on. A key that could not be taken at first is taken with it."""
        try:
            holder = self._take(replace(mine, answer=answer), self._keep_ms, deadline)
        except Unavailable as error:
            logger.warning("an answer could not be stored under its key: %s", error)
            return False
        return holder.attempt == mine.attempt

    def _take(self, hold: Hold, lasts_ms: int, deadline: Deadline) -> Hold:
        now_ms = self._clock.now_ms()
        return self._store.take(replace(hold, until_ms=now_ms + lasts_ms), now_ms=now_ms, deadline=deadline)

    def _release(self, mine: Hold, deadline: Deadline) -> None:
        try:
            self._store.release(mine, deadline=deadline)
        except Unavailable as error:  # the hold ends by itself
            logger.warning("a key could not be released: %s", error)


def _share(deadline: Deadline, share: float, *, least_seconds: float = 0) -> Deadline:
    """The deadline of one call: a share of the time that is left, so that a store which hangs does not take it all."""
    left = deadline.remaining_seconds()
    return deadline.sooner(left - min(left, max(left * share, least_seconds)))


def scoped(endpoint: str, caller: str, key: str) -> str:
    """A key as the store has it: of one endpoint and one caller, and not to be read back.

    An assumed role's ARN ends with a session's name, which differs from host to host of one caller and with
    every renewal of its credentials; the role is the caller.
    """
    if ":assumed-role/" in caller:
        caller = caller.rpartition("/")[0]
    return sha256(json.dumps([endpoint, caller, key]).encode()).hexdigest()
