"""How long each step of a request takes."""

from __future__ import annotations

from enum import Enum

from quicksilver.ports import Clock
from quicksilver.prediction import Timings


class Step(Enum):
    """The steps of the hot path, in its order."""

    VALIDATE = 0
    ROUTE = 1
    FEATURES = 2
    VECTOR = 3
    SCORE = 4
    REASONS = 5


class Stopwatch:
    """Microseconds by step. Time between two marks belongs to the second one's step."""

    __slots__ = ("_clock", "_last_us", "_start_us", "_steps_us")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_us = self._last_us = clock.monotonic_us()
        self._steps_us = [0] * len(Step)

    def mark(self, step: Step) -> None:
        now = self._clock.monotonic_us()
        self._steps_us[step.value] += now - self._last_us
        self._last_us = now

    def lap(self) -> Stopwatch:
        """A stopwatch that has taken the same time so far, for one of several things that go on from here."""
        lap = Stopwatch(self._clock)
        lap._start_us = self._start_us
        lap._steps_us = self._steps_us.copy()
        return lap

    def timings(self) -> Timings:
        validate, route, features, vector, score, reasons = self._steps_us
        return Timings(
            validate_us=validate,
            route_us=route,
            features_us=features,
            vector_us=vector,
            score_us=score,
            reasons_us=reasons,
            total_us=self._last_us - self._start_us,
        )
