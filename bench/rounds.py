"""Interleaved measurement: every lane gets a block of requests in each round, so a machine's drift hits all alike.

A ratio is taken within a round and the median over rounds is what is told; so is every other figure.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.contestants import PAUSE_SECONDS, Contestant
from bench.processes import cpu_us
from bench.traffic import Call


@dataclass
class Lane:
    """A contestant in one mode. ``before`` and ``after`` wrap each of its blocks; ``pause_seconds`` follows an answer."""

    name: str
    contestant: Contestant
    explain: bool = True
    pause_seconds: float = PAUSE_SECONDS
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    cpu_us: list[float] = field(default_factory=list)
    """CPU per request, a value for each round; work after the answer is in it."""
    latency_us: list[list[float]] = field(default_factory=list)
    """What callers waited, a list for each round."""

    def block(self, calls: Sequence[Call]) -> tuple[float, list[float]]:
        self.before()
        waited = []
        started = cpu_us(self.contestant.pids)
        for call in calls:
            waited.append(self.contestant.call(call, explain=self.explain)[0])
            time.sleep(self.pause_seconds)
        used = cpu_us(self.contestant.pids) - started
        self.after()
        return used / len(calls), waited

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpu_us)

    @property
    def waits(self) -> list[float]:
        return [value for block in self.latency_us for value in block]

    @property
    def p50(self) -> float:
        return statistics.median(self.waits)

    @property
    def p99(self) -> float:
        return quantile(self.waits, 0.99)

    def cpu_ratio(self, other: Lane) -> float:
        """This lane's CPU over the other's, paired by round."""
        return statistics.median(a / b for a, b in zip(self.cpu_us, other.cpu_us, strict=True))


def run(lanes: Sequence[Lane], calls: Sequence[Call], *, rounds: int, block: int, warm_up: int = 20) -> None:
    """Measure every lane, each round in the other direction than the one before."""
    for lane in lanes:
        lane.block(calls[:warm_up])
    for number in range(rounds):
        start = number * block % len(calls)
        wanted = [calls[(start + place) % len(calls)] for place in range(block)]
        for lane in lanes if number % 2 == 0 else reversed(lanes):
            used, waited = lane.block(wanted)
            lane.cpu_us.append(used)
            lane.latency_us.append(waited)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1_000_000) * len(ordered) // 1_000_000) - 1)]
