"""Moments in time as text: UTC, ISO-8601, milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_iso(epoch_ms: int) -> str:
    """UTC ISO-8601 with milliseconds: ``2026-11-23T07:16:00.000Z``."""
    moment = datetime.fromtimestamp(epoch_ms / 1_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{epoch_ms % 1_000:03d}Z"


def typed_moment(text: str) -> str:
    """A moment in any ISO-8601 form with an offset, as ``utc_iso`` writes it. Raises ``ValueError`` with the reason."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError("must be an ISO-8601 time") from None
    if moment.tzinfo is None:
        raise ValueError("must name its offset, such as Z")
    return utc_iso(round(moment.timestamp() * 1_000))


def epoch_ms(time: str) -> int:
    """UTC epoch milliseconds of an ISO-8601 moment. Raises ``ValueError`` for anything else, or without a time zone."""
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        raise ValueError(f"{time!r} does not say its time zone")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
