"""Callers that keep asking, whatever comes back: single requests, batches, and requests under an idempotency key.

A key that got no clear answer is asked again until it has one, as docs/api.md tells a caller to do; some keys that have got
one are asked again too. Everything that came back is remembered.
"""

from __future__ import annotations

import heapq
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any

from bench.soak_outcome import Outcome, no_answer, outcome_of
from quicksilver.aws.api import ApiClient
from quicksilver.errors import Unavailable
from quicksilver.request import IDEMPOTENCY_HEADER

BATCH_SHARE, KEYED_SHARE = 0.05, 0.25
BATCH_ROWS = 8
AGAIN_SHARE = 0.3
"""Of the keys with a clear answer: asked once more, soon."""
AGAIN_AFTER_S = (0.5, 8.0)
RETRY_AFTER_S = 2.0
WARM = 3
"""Requests of a caller after which it is as fast as it will be."""

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when (monotonic seconds), what kind, under which key, and what came back after so many seconds."""

    at_s: float
    seconds: float
    kind: str
    outcome: Outcome
    key: str = ""


@dataclass(order=True, slots=True)
class _Again:
    due_s: float
    key: str
    body: bytes = field(compare=False)
    last: bool = field(default=False, compare=False)


class _Caller(threading.Thread):
    """Asks once after the other until it is stopped; ``asked`` counts."""

    def __init__(self, ask_once: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.stopped = threading.Event()
        self.asked = 0
        self._ask_once = ask_once

    def run(self) -> None:
        while not self.stopped.is_set():
            self._ask_once()
            self.asked += 1


class Load:
    """So many callers at once, from ``start`` to ``stop``; ``asked`` is in the order of what came back."""

    def __init__(self, api: ApiClient, endpoint: str, bodies: Sequence[Body], seed: int) -> None:
        self.asked: list[Asked] = []
        self._api = api
        self._path = f"/v1/{endpoint}/score"
        self._bodies = bodies
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._again: list[_Again] = []
        self._running: list[_Caller] = []

    @property
    def callers(self) -> int:
        return len(self._running)

    def run(self, callers: int) -> None:
        """Let there be so many callers; one that goes finishes what it has asked."""
        while len(self._running) < callers:
            caller = _Caller(self._ask_once)
            self._running.append(caller)
            caller.start()
        leaving, self._running = self._running[callers:], self._running[:callers]
        for caller in leaving:
            caller.stopped.set()
        for caller in leaving:
            caller.join()

    @property
    def is_warm(self) -> bool:
        """Whether every caller has had a worker, which may have had to start for it, and has come back to one since."""
        return all(caller.asked >= WARM for caller in self._running)

    def settle(self, seconds: float) -> int:
        """Ask every key that still has no clear answer until it has one, or time is up; returns how many have none."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                self._again = [again for again in self._again if not again.last]
                heapq.heapify(self._again)
                again = heapq.heappop(self._again) if self._again else None
            if again is None:
                return 0
            time.sleep(max(0.0, min(again.due_s, deadline) - time.monotonic()))
            self._ask_keyed(again)
        return len(self._again)

    def new_key(self, body: Body) -> _Again:
        """A request under a key that nobody has used."""
        return _Again(0, str(uuid.uuid4()), json.dumps(body).encode())

    def _ask_once(self) -> None:
        with self._lock:
            due = self._again and self._again[0].due_s <= time.monotonic()
            again = heapq.heappop(self._again) if due else None
            draw, rows = self._random.random(), self._random.choices(self._bodies, k=BATCH_ROWS)
        if again:
            self._ask_keyed(again)
        elif draw < BATCH_SHARE:
            self._ask("batch", f"{self._path}-batch", json.dumps({"rows": rows}).encode())
        elif draw < BATCH_SHARE + KEYED_SHARE:
            self._ask_keyed(self.new_key(rows[0]))
        else:
            self._ask("single", self._path, json.dumps(rows[0]).encode())

    def _ask_keyed(self, again: _Again) -> None:
        outcome = self._ask("keyed", self._path, again.body, again.key)
        clear = outcome.status == HTTPStatus.OK
        with self._lock:
            if clear and (again.last or self._random.random() >= AGAIN_SHARE):
                return
            wait_s = self._random.uniform(*AGAIN_AFTER_S) if clear else RETRY_AFTER_S
            due_s = time.monotonic() + wait_s
            heapq.heappush(self._again, _Again(due_s, again.key, again.body, last=clear or again.last))

    def _ask(self, kind: str, path: str, body: bytes, key: str = "") -> Outcome:
        at_s = time.monotonic()
        try:
            outcome = outcome_of(
                self._api.post(path, body, headers={IDEMPOTENCY_HEADER: key} if key else None)
            )
        except Unavailable as error:
            outcome = no_answer(str(error))
        self.asked.append(Asked(at_s, time.monotonic() - at_s, kind, outcome, key))
        return outcome
