"""Callers that keep scoring while routes change, and remember every answer they got and when."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from quicksilver.aws.api import ApiAnswer, ApiClient
from quicksilver.errors import Unavailable
from quicksilver.fallback import ModelCause


@dataclass(frozen=True, slots=True)
class Given:
    """One answer, or a ``failure`` in words. Times are UTC epoch ms.

    ``touched`` are the model versions an answer has to do with: that of its arm, that which answered, and those it says
    could not be loaded.
    """

    asked_ms: float
    answered_ms: float
    touched: frozenset[str] = frozenset()
    prediction_id: str = ""
    failure: str = ""


@dataclass
class Callers:
    """``given`` is in the order of the answers."""

    given: list[Given] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def touching(self, model: str, *, since_ms: float) -> list[Given]:
        """The answers of requests asked since a moment that a model version has to do with."""
        return [one for one in tuple(self.given) if one.asked_ms >= since_ms and model in one.touched]

    def _keep_scoring(self, api: ApiClient, endpoint: str, bodies: Iterator[Mapping[str, Any]]) -> None:
        while not self._stop.is_set():
            with self._lock:
                body = next(bodies)
            asked_ms = time.time() * 1_000
            try:
                answer = api.score(endpoint, body)
            except Unavailable as error:
                self.given.append(Given(asked_ms, time.time() * 1_000, failure=str(error)))
            else:
                self.given.append(given(asked_ms, time.time() * 1_000, answer))


def given(asked_ms: float, answered_ms: float, answer: ApiAnswer) -> Given:
    """What an answer says; whatever is not 200 is a failure."""
    content = answer.content
    if answer.status != 200:
        return Given(asked_ms, answered_ms, failure=f"{answer.status}: {content}")
    not_loaded = {
        note["model"]
        for note in content["degraded"]
        if note.get("cause") == ModelCause.NOT_LOADED and note.get("model")
    }
    touched = frozenset({content["model"], content["arm"]["model"], *not_loaded})
    return Given(asked_ms, answered_ms, touched, content["prediction_id"])


@contextmanager
def keep_scoring(
    api: ApiClient, endpoint: str, bodies: Sequence[Mapping[str, Any]], *, callers: int
) -> Iterator[Callers]:
    """Let callers score these requests in turn, over and over, until the block is left."""
    under_way = Callers()
    in_turn = itertools.cycle(bodies)
    with ThreadPoolExecutor(callers) as threads:
        running = [threads.submit(under_way._keep_scoring, api, endpoint, in_turn) for _ in range(callers)]
        try:
            yield under_way
        finally:
            under_way._stop.set()
    for caller in running:
        caller.result()
