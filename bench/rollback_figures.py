"""What came of rollbacks and aborts: seconds between their moments, and which limits were missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import figures
from bench.callers import Given
from bench.evidence import Evidence
from quicksilver.rollout_plan import Rollout

ROLLBACK_LIMIT_S = 90
ABORT_LIMIT_S = 15


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A rollout of a bad canary as it was driven. Times are UTC epoch ms; None: it did not come to that."""

    what: str
    rollout: Rollout
    champion: str
    started_ms: float
    seen_ms: float | None
    route_ms: int | None
    reason: str
    last: Given | None


@dataclass(frozen=True, slots=True)
class Aborted:
    called_ms: float
    returned_ms: float
    last: Given


def row_of(one: RolledBack, found: Evidence | None) -> dict[str, Any]:
    """Seconds between the moments of a rollback; null where one of the two did not come."""
    at_ms = found.at_ms if found else None
    last_ms = one.last.answered_ms if one.last else None
    # A canary that answered nobody any more when the route came had its share until then.
    back_ms = max(last_ms or 0, one.route_ms) if one.route_ms else None
    return {
        "canary": one.what,
        "start_to_evidence_s": _seconds(one.started_ms, at_ms),
        "evidence_to_rollup_s": _seconds(at_ms, one.seen_ms),
        "evidence_to_route_s": _seconds(at_ms, one.route_ms),
        "route_to_zero_s": _seconds(one.route_ms, back_ms),
        "evidence_to_zero_s": _seconds(at_ms, back_ms),
        "canary_requests_at_evidence": found.canary_requests if found else None,
        "reason": one.reason,
    }


def content_of(
    rows: Sequence[dict[str, Any]], aborts: Sequence[Aborted], given: Sequence[Given], routes: int
) -> dict[str, Any]:
    """The figures, and in ``missed`` a sentence for each limit that was not kept."""
    abort_s = [max(0.0, (one.last.answered_ms - one.returned_ms) / 1_000) for one in aborts]
    failures = [one.failure for one in given if one.failure]
    missed = [
        f"From the evidence until the canary that {row['canary']} was back at 0: {_said(row['evidence_to_zero_s'])}, "
        f"not {ROLLBACK_LIMIT_S} s. {row['reason']}"
        for row in rows
        if row["evidence_to_zero_s"] is None or row["evidence_to_zero_s"] > ROLLBACK_LIMIT_S
    ]
    missed += [
        f"An abort took effect after {seconds:.1f} s, not {ABORT_LIMIT_S}."
        for seconds in abort_s
        if seconds > ABORT_LIMIT_S
    ]
    if failures:
        missed.append(f"{len(failures)} of {len(given)} requests failed, the first: {failures[0]}")
    back = [row["evidence_to_zero_s"] for row in rows]
    return {
        "rollback_seconds": None if None in back else max(back, default=None),
        "rollback_limit_seconds": ROLLBACK_LIMIT_S,
        "abort_seconds": max(abort_s, default=None),
        "abort_limit_seconds": ABORT_LIMIT_S,
        "requests": len(given),
        "failed_requests": len(failures),
        "route_changes": routes,
        "rollbacks": list(rows),
        "aborts": [
            {"call_s": (one.returned_ms - one.called_ms) / 1_000, "return_to_zero_s": seconds}
            for one, seconds in zip(aborts, abort_s, strict=True)
        ],
        "missed": missed,
    }


def show(content: dict[str, Any]) -> None:
    names = ("start to evidence", "evidence to rollup", "to route", "route to 0", "evidence to 0")
    keys = (
        "start_to_evidence_s",
        "evidence_to_rollup_s",
        "evidence_to_route_s",
        "route_to_zero_s",
        "evidence_to_zero_s",
    )
    table = figures.table("Rollbacks, seconds", "canary", *names)
    for row in content["rollbacks"]:
        # A look came before anybody saw the evidence in the rollup.
        seconds = {**row, keys[1]: row[keys[1]] or row[keys[2]]}
        table.add_row(row["canary"], *(_said(seconds[key]) for key in keys))
    figures.show(table)
    table = figures.table("Aborts, seconds", "", "the call", "its return to 0")
    for number, row in enumerate(content["aborts"], 1):
        table.add_row(str(number), _said(row["call_s"]), _said(row["return_to_zero_s"]))
    figures.show(table)
    print(
        f"{content['failed_requests']} of {content['requests']:,} requests failed over {content['route_changes']} "
        f"changes of route (aim: 0); rollback {_said(content['rollback_seconds'])} s (aim: at most {ROLLBACK_LIMIT_S}), "
        f"abort {_said(content['abort_seconds'])} s (aim: at most {ABORT_LIMIT_S})"
    )
    for sentence in content["missed"]:
        print(f"MISSED: {sentence}")


def _seconds(since_ms: float | None, until_ms: float | None) -> float | None:
    return None if since_ms is None or until_ms is None else (until_ms - since_ms) / 1_000


def _said(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f}"
