"""Callers that keep scoring while routes change: transactions again and again, from some threads, until told to stop."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.replay import ReplayRow
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.errors import Unavailable


@dataclass
class Traffic:
    """What the callers got: answers by model version, and the first answer that was none."""

    answers: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answered(self) -> int:
        return sum(self.answers.values())

    def check(self) -> None:
        """Raise ``Unavailable`` where a request was not answered."""
        if self.failure:
            raise Unavailable(self.failure)

    def _call(self, stage: DeployedStage, rows: Iterator[ReplayRow]) -> None:
        while not (self._stop.is_set() or self.failure):
            with self._lock:
                row = next(rows)
            try:
                answer = stage.api.score(ENDPOINT, row.body)
            except Unavailable as error:
                self.failure = str(error)
                return
            with self._lock:
                if answer.status == 200:
                    self.answers[answer.content["model"]] += 1
                else:
                    self.failure = f"A request under way was answered {answer.status}: {answer.content}"


@contextmanager
def traffic(stage: DeployedStage, rows: Sequence[ReplayRow], *, callers: int) -> Iterator[Traffic]:
    """Let callers score these transactions in turn, over and over, until the block is left."""
    under_way = Traffic()
    in_turn = itertools.cycle(rows)
    with ThreadPoolExecutor(callers) as threads:
        running = [threads.submit(under_way._call, stage, in_turn) for _ in range(callers)]
        try:
            yield under_way
        finally:
            under_way._stop.set()
    for caller in running:
        caller.result()
    under_way.check()
