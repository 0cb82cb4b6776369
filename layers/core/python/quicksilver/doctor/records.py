"""Whether prediction records get where they belong: counted by the rollup, archived by the delivery, and nothing left over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quicksilver.doctor.finding import Finding, Health, Problem, found
from quicksilver.drift_policy import DriftPolicy
from quicksilver.instants import utc_iso
from quicksilver.stage_state import KeptObject

LOOKED_BACK_MS = 3 * 3_600_000
"""How far back traffic is looked for."""

BEHIND_MS = 5 * 60_000
"""By how much the archive and the rollup may differ: a delivery takes a minute, a batch of the rollup seconds."""

REDELIVERED_MS = 5 * 60_000
"""By when the redelivery, which runs each minute, has put a batch back on the stream."""

_HOUR_MS = 3_600_000


def flow(endpoint: str, *, counted_ms: int | None, archived_ms: int | None, now_ms: int) -> Iterator[Finding]:
    """The last period with a request in the rollup, and the last delivery to the archive: two readers of one stream.

    They watch each other: where one has seen records that the other has not, the other is behind.
    """
    subject = f"records of {endpoint}"
    if counted_ms is None and archived_ms is None:
        yield Finding(
            "records",
            subject,
            Health.SKIPPED,
            f"No request in the last {LOOKED_BACK_MS // _HOUR_MS} hours: there is nothing to follow.",
            "Send one: quicksilver doctor --probe.",
        )
        return
    problems = []
    if _is_behind(archived_ms, of=counted_ms, now_ms=now_ms):
        problems.append(
            Problem(
                f"Requests are counted until {_at(counted_ms)}, and archived until {_at(archived_ms)}.",
                "Look at the delivery stream and at failed/ in the archive bucket: the stream keeps records for days.",
            )
        )
    if _is_behind(counted_ms, of=archived_ms, now_ms=now_ms):
        problems.append(
            Problem(
                f"Records are archived until {_at(archived_ms)}, and counted until {_at(counted_ms)}.",
                "Look at the rollup's log and its mapping; what it missed: quicksilver rollup check.",
            )
        )
    said = f"counted until {_at(counted_ms)}, archived until {_at(archived_ms)}"
    yield from found("records", subject, said, problems)


def _is_behind(reader_ms: int | None, *, of: int | None, now_ms: int) -> bool:
    """Whether a reader has not seen what another saw, for longer than it may take."""
    if of is None or now_ms - of <= BEHIND_MS:
        return False
    return reader_ms is None or of - reader_ms > BEHIND_MS


def _at(epoch_ms: int | None) -> str:
    return "never" if epoch_ms is None else utc_iso(epoch_ms)


def undelivered(objects: Sequence[KeptObject], now_ms: int) -> Iterator[Finding]:
    problems = []
    if objects:
        waiting_ms = now_ms - min(item.modified_ms for item in objects)
        old = waiting_ms > REDELIVERED_MS
        problems.append(
            Problem(
                f"{len(objects)} batches of records wait to be delivered, the oldest for {waiting_ms // 60_000} minutes.",
                "Read the log of the function redeliver, which should have taken them."
                if old
                else "Ask again in a few minutes: they are put back each minute.",
                Health.FAIL if old else Health.WARN,
            )
        )
    yield from found("records", "undelivered", "none waits", problems)


def refused(objects: Sequence[KeptObject]) -> Iterator[Finding]:
    """What the delivery could not write where it belongs, in the last day."""
    problems = []
    if objects:
        problems.append(
            Problem(
                f"{len(objects)} objects of the last day could not be archived, the last {objects[-1].key}.",
                "Each line says why; the records are in it, in base64.",
            )
        )
    yield from found("records", "failed deliveries", "none in the last day", problems)


def judged(
    endpoint: str, last_end_ms: int | None, policy: DriftPolicy, *, busy: bool, now_ms: int
) -> Iterator[Finding]:
    """Whether windows are judged when they are due. ``busy`` says that the endpoint has had traffic of late.

    An hour is the schedule's, another for the run itself.
    """
    subject = f"drift of {endpoint}"
    due_ms = now_ms - policy.settle_minutes * 60_000 - 2 * _HOUR_MS - policy.window_ms
    if last_end_ms is None:
        yield Finding(
            "monitoring",
            subject,
            Health.WARN if busy else Health.SKIPPED,
            "No window has been judged.",
            f"One is due when its {policy.window_hours} hours are over; then: quicksilver drift run.",
        )
        return
    problems = []
    if busy and last_end_ms < due_ms:
        problems.append(
            Problem(
                f"The last window that was judged ended {utc_iso(last_end_ms)}.",
                "Read the log of the function drift; judge now: quicksilver drift run.",
                Health.WARN,
            )
        )
    yield from found("monitoring", subject, f"judged until {utc_iso(last_end_ms)}", problems)


def performance(endpoint: str, objects: Sequence[KeptObject]) -> Iterator[Finding]:
    """When performance was judged last. Labels come late, so nobody can say when it should have been."""
    subject = f"performance of {endpoint}"
    if not objects:
        yield Finding(
            "monitoring",
            subject,
            Health.SKIPPED,
            "Nothing has been judged yet: labels come late.",
            "Outcomes come by the API, or: quicksilver outcomes load.",
        )
        return
    last = max(item.modified_ms for item in objects)
    yield Finding("monitoring", subject, Health.OK, f"judged last at {utc_iso(last)}")
