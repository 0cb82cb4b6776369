"""Whether the promise was kept: every request answered or refused as documented, every answer's record there exactly once.

"Exactly once" is said of the table ``predictions``, which has one row for each prediction id. The stream and the archive's
objects are at-least-once, so copies there are counted and are no fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from statistics import quantiles
from typing import Any

from bench.soak_load import Asked
from bench.soak_schedule import QUIET

SHOWN = 5
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}
ENOUGH = 20
"""Requests of a phase whose latency is worth a ratio."""
GATEWAY_S = 29
"""API Gateway would have answered 504 by then; the emulator's waits."""
UNGUARDED = "unavailable"
"""The mark of an answer whose key promises nothing (docs/api.md)."""


@dataclass(frozen=True, slots=True)
class Archived:
    """``rows`` of the table by prediction id, ``copies`` of records in its objects, and where the rollup differs from it."""

    rows: Mapping[str, int]
    copies: Mapping[str, int]
    differences: Sequence[str] = ()


def given_ids(asked: Iterable[Asked]) -> set[str]:
    """The prediction ids of every decision that reached a caller."""
    return {prediction for one in asked for prediction in one.outcome.prediction_ids}


def outcomes(asked: Iterable[Asked], phase_of: Callable[[Asked], str]) -> dict[str, dict[str, int]]:
    """How many requests of each phase came to what, by status and title."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for one in asked:
        status = one.outcome.status
        found[phase_of(one)][f"{status} {one.outcome.title}" if status else one.outcome.title] += 1
    return {phase: dict(sorted(counts.items())) for phase, counts in sorted(found.items())}


def latency_ratios(asked: Iterable[Asked], phase_of: Callable[[Asked], str]) -> dict[str, dict[str, float]]:
    """Latency of single answered requests in each phase, as a multiple of that while it was quiet."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for one in asked:
        if one.kind == "single" and one.outcome.status == HTTPStatus.OK:
            seconds[phase_of(one)].append(one.seconds)
    if len(seconds[QUIET]) < ENOUGH:
        return {}
    base = _percentiles(seconds.pop(QUIET))
    return {
        phase: {name: value / base[name] for name, value in _percentiles(values).items()}
        for phase, values in sorted(seconds.items())
        if len(values) >= ENOUGH
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(values, n=100, method="inclusive")
    return {name: cuts[percent - 1] for name, percent in PERCENTILES.items()}


def broken_keys(asked: Iterable[Asked]) -> list[str]:
    """Keys under which two answers differ that were both said to be the key's."""
    answers: dict[str, set[str]] = defaultdict(set)
    for one in asked:
        if one.key and one.outcome.status == HTTPStatus.OK and one.outcome.key_status != UNGUARDED:
            answers[one.key].add(one.outcome.body_sha256)
    return [key for key, bodies in answers.items() if len(bodies) > 1]


def judgement(asked: Sequence[Asked], archived: Archived, keys_unanswered: int) -> dict[str, Any]:
    """The promise in numbers, and in ``missed`` each way in which it was broken, as a sentence."""
    ids = given_ids(asked)
    faults = [one.outcome.fault for one in asked if one.outcome.fault]
    missing = sorted(prediction for prediction in ids if not archived.rows.get(prediction))
    double = sorted(prediction for prediction, rows in archived.rows.items() if rows > 1)
    broken = broken_keys(asked)
    copies = sum(count - 1 for count in archived.copies.values())
    missed = [
        *_said(faults, "requests were neither answered nor refused by a documented error"),
        *_said(missing, "answers have no record in the archive"),
        *_said(double, "predictions have more than one row in the table predictions"),
        *_said(broken, "idempotency keys gave two answers"),
        *_said(archived.differences, "counts of the rollup are not the archive's"),
    ]
    if keys_unanswered:
        missed.append(f"{keys_unanswered} idempotency keys had no clear answer when all was well again.")
    statuses = Counter(one.outcome.key_status for one in asked if one.key and one.outcome.key_status)
    return {
        "requests": len(asked),
        "answered": sum(1 for one in asked if one.outcome.status == HTTPStatus.OK),
        "neither_answered_nor_refused": len(faults),
        "slower_than_the_gateway": sum(one.seconds > GATEWAY_S for one in asked),
        "predictions_given": len(ids),
        "records_archived": len(archived.rows),
        "records_missing": len(missing),
        "records_duplicated": len(double),
        "records_of_no_answer": len({*archived.rows} - ids),
        "copies_in_the_objects": copies,
        "idempotency_keys": len({one.key for one in asked if one.key}),
        "idempotency_answers": dict(sorted(statuses.items())),
        "idempotency_keys_broken": len(broken),
        "rollup_differences": len(archived.differences),
        "missed": missed,
    }


def _said(found: Sequence[str], what: str) -> list[str]:
    return [f"{len(found)} {what}: {'; '.join(found[:SHOWN])}"] if found else []
