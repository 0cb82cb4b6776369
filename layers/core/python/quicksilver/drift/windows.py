"""Which windows are to be judged: those that have ended and are not judged yet, and those that may have got late records.

All of it follows from the policy, the clock and which documents there are, so a run that was missed is caught up by the
next one, and one that was killed is begun anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quicksilver.drift.baselines import EARLIER_WINDOWS, SEASON_WEEKS, WEEK_MS
from quicksilver.drift_policy import DriftPolicy, Season
from quicksilver.errors import FieldError, InvalidParameter
from quicksilver.instants import utc_iso
from quicksilver.monitoring import Window

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def ended_windows(policy: DriftPolicy, now_ms: int) -> list[Window]:
    """The windows of the last ``catch_up_days`` that ended at least ``settle_minutes`` ago, oldest first."""
    length = policy.window_ms
    last = (now_ms - policy.settle_minutes * 60_000) // length * length
    first = -(-(now_ms - policy.catch_up_days * DAY_MS) // length) * length
    return windows_between(length, max(first - length, 0), last)


def windows_between(length_ms: int, start_ms: int, end_ms: int) -> list[Window]:
    """The whole windows of a length in [start, end), cut at its multiples since the epoch."""
    first = -(-start_ms // length_ms) * length_ms
    return [
        Window(start_ms=start, end_ms=start + length_ms)
        for start in range(first, end_ms - length_ms + 1, length_ms)
    ]


def due_windows(policy: DriftPolicy, now_ms: int, judged_at: Mapping[str, int]) -> list[Window]:
    """Windows nobody has judged, oldest first. ``judged_at`` (UTC epoch ms) is by the windows' names."""
    return [window for window in ended_windows(policy, now_ms) if window.name not in judged_at]


def awaited_windows(policy: DriftPolicy, now_ms: int, judged_at: Mapping[str, int]) -> list[Window]:
    """Judged windows that may have got records since, oldest first: each until it was looked at ``late_hours`` after its
    end or later."""
    return [
        window
        for window in ended_windows(policy, now_ms)
        if window.name in judged_at and judged_at[window.name] < late_until_ms(policy, window)
    ]


def late_until_ms(policy: DriftPolicy, window: Window) -> int:
    """Until when records of a window are waited for (UTC epoch ms)."""
    return window.end_ms + policy.late_hours * HOUR_MS


def earlier_windows(policy: DriftPolicy, window: Window) -> Sequence[Window]:
    """The windows before that one may be compared with, oldest first: the last few, or those of its weekday."""
    if policy.season is Season.WEEKLY:
        back = [week * WEEK_MS for week in range(SEASON_WEEKS, 0, -1)]
    else:
        back = [number * policy.window_ms for number in range(EARLIER_WINDOWS, 0, -1)]
    return [
        Window(start_ms=window.start_ms - ms, end_ms=window.end_ms - ms)
        for ms in back
        if window.start_ms >= ms
    ]


def last_whole_window(length_ms: int, now_ms: int) -> Window:
    """The last window of a length that is over."""
    end = now_ms // length_ms * length_ms
    return Window(start_ms=end - length_ms, end_ms=end)


def require_over(window: Window, now_ms: int) -> None:
    """Raises ``InvalidParameter`` for a window of which a part is still to come: half of it says nothing of the rest."""
    if window.end_ms > now_ms:
        raise InvalidParameter(
            "A window is judged when it is over.",
            [FieldError("to", f"{utc_iso(window.end_ms)} is in the future: it is {utc_iso(now_ms)}")],
        )
