"""The recount: what the rollup should say, from the archive, by SQL that shares no counting with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from quicksilver.instants import utc_iso
from quicksilver.rollup_counts import (
    LATENCY_BINS,
    LATENCY_BOUNDS_US,
    SCORE_BINS,
    SCORE_BOUNDS,
    ArmCounts,
    ArmKey,
    Period,
    periods,
)
from quicksilver.routing import Role

Query = Callable[[str, Mapping[str, Any]], Iterable[Mapping[str, Any]]]
"""Runs a SQL text with ``$name`` for each parameter, and gives its rows by the columns' names."""

_SQL = """
with records as (
    select
        epoch_ms(time) // $period_ms * $period_ms as start_ms,
        coalesce(arm.model, model) as assigned,
        arm.role as role,
        coalesce(arm.holdout, false) as holdout,
        model <> coalesce(arm.model, model) or status = 'fallback' as error,
        len([note for note in degraded if note.feature is not null]) > 0 as degraded,
        list_distinct([note.model for note in degraded if note.cause = 'not_loaded']) as not_loaded,
        score < $cutoff as approved,
        len([bound for bound in $latency_bounds if bound <= timings.total_us]) as latency_bin,
        len([bound for bound in $score_bounds if bound <= score]) as score_bin
    from predictions
    where endpoint = $endpoint and epoch_ms(time) >= $since_ms and epoch_ms(time) < $until_ms
)
select start_ms, assigned as model, role, holdout,
    count(*) as requests,
    count(*) filter (error) as errors,
    0 as not_loaded,
    count(*) filter (degraded and not error) as degraded,
    count(*) filter (approved and not error) as approved,
    list(latency_bin) filter (not error) as latency,
    list(score_bin) filter (not error) as scores
from records group by all
union all
select start_ms, named, 'canary', false, 0, 0, count(*), 0, 0, null, null
from records, unnest(not_loaded) as notes(named) group by all
"""


def recount(
    query: Query, endpoint: str, *, since_ms: int, until_ms: int, period_ms: int, cutoff: float
) -> list[Period]:
    """The endpoint's periods from the table ``predictions``, by what was predicted in [since, until)."""
    rows = query(
        _SQL,
        {
            "endpoint": endpoint,
            "since_ms": since_ms,
            "until_ms": until_ms,
            "period_ms": period_ms,
            "cutoff": cutoff,
            "latency_bounds": list(LATENCY_BOUNDS_US),
            "score_bounds": list(SCORE_BOUNDS),
        },
    )
    return periods((int(row["start_ms"]), {_key(row): _counts(row)}) for row in rows)


def _key(row: Mapping[str, Any]) -> ArmKey:
    return ArmKey(row["model"], Role(row["role"]), row["holdout"])


def _counts(row: Mapping[str, Any]) -> ArmCounts:
    numbers = {name: int(row[name]) for name in ("requests", "errors", "not_loaded", "degraded", "approved")}
    return ArmCounts(
        **numbers,
        latency=_histogram(row["latency"], LATENCY_BINS),
        scores=_histogram(row["scores"], SCORE_BINS),
    )


def differences(rollup: Iterable[Period], archive: Iterable[Period]) -> list[str]:
    """In what periods and for which arms two counts differ, a sentence for each."""
    one, other = ({period.start_ms: period.arms for period in counts} for counts in (rollup, archive))
    blank = ArmCounts()
    return [
        f"{utc_iso(start)} {key.model} {key.role.value}{' holdout' if key.holdout else ''}: the rollup has "
        f"{_said(here)}, the archive {_said(there)}."
        for start in sorted({*one, *other})
        for key in sorted({*one.get(start, {}), *other.get(start, {})})
        if (here := one.get(start, {}).get(key, blank)) != (there := other.get(start, {}).get(key, blank))
    ]


def _said(counts: ArmCounts) -> str:
    return (
        f"{counts.requests} requests, {counts.errors} errors, {counts.degraded} degraded, {counts.approved} approved, "
        f"{counts.not_loaded} not loaded, {sum(counts.latency)} latencies, {sum(counts.scores)} scores"
    )


def _histogram(bins: list[int] | None, size: int) -> tuple[int, ...]:
    histogram = [0] * size
    for number in bins or ():
        histogram[number] += 1
    return tuple(histogram)
