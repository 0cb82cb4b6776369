"""The machine's own time, and waiting: what the clock port and retries are outside of tests."""

from __future__ import annotations

import random
import time


class SystemClock:
    """The machine's own time."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_us(self) -> int:
        return time.perf_counter_ns() // 1_000


def pause(attempt: int, most_seconds: float = 0.32) -> None:
    """Wait before retry ``attempt`` (1, 2, ...): full jitter under 10, 20, 40 ... 320 ms, and under ``most_seconds``.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    time.sleep(random.uniform(0, min(0.32, most_seconds, 0.005 * 2**attempt)))
