"""The moment of the evidence: the prediction with which a rollout could first have been rolled back.

It is found afterwards, from the prediction records themselves: no stream, no rollup and no schedule has a part in it, so what
these add is in what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from quicksilver.rollout.look import Verdict, comparison_of, judge
from quicksilver.rollout_plan import Rollout
from quicksilver.rollup.record import Counted, count
from quicksilver.rollup_counts import Period


@dataclass(frozen=True, slots=True)
class Evidence:
    """When (UTC epoch ms) the verdict first was to roll back, after how many of the canary's requests, and why."""

    at_ms: int
    canary_requests: int
    reason: str


def once_each(records: Iterable[Counted]) -> list[Counted]:
    """Each record once, however often it was delivered, by rising time."""
    return sorted({record.identity: record for record in records}.values(), key=_time)


def evidence(
    rollout: Rollout, champion: str, records: Sequence[Counted], *, period_seconds: int, cutoff: float
) -> Evidence | None:
    """Look at a rollout anew after every record; None where no look says to roll back.

    ``records`` are by rising time, from some time before the rollout on (history), each once.
    """
    period_ms = period_seconds * 1_000
    comparison = comparison_of(rollout, champion)
    closed: list[Period] = []
    for start_ms, of_period in groupby(records, lambda record: record.time_ms // period_ms * period_ms):
        inside = list(of_period)
        if start_ms >= comparison.since_ms:
            for place, record in enumerate(inside, 1):
                still_open = Period(start_ms, count(inside[:place], cutoff))
                seen = judge(rollout, comparison.after(still_open), [*closed, still_open], record.time_ms)
                if seen.verdict is Verdict.ROLL_BACK:
                    return Evidence(record.time_ms, seen.canary_requests, seen.reason)
        whole = Period(start_ms, count(inside, cutoff))
        closed.append(whole)
        comparison = comparison.after(whole)
    return None


def _time(record: Counted) -> int:
    return record.time_ms
