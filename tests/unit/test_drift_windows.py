"""Which windows are due: none twice, none left out, whatever runs were missed."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from quicksilver.drift.windows import (
    DAY_MS,
    HOUR_MS,
    awaited_windows,
    due_windows,
    earlier_windows,
    ended_windows,
    last_whole_window,
    require_over,
    windows_between,
)
from quicksilver.drift_policy import DriftPolicy, Season
from quicksilver.errors import InvalidParameter
from quicksilver.monitoring import Window

NOW_MS = 1_760_000_000_000
MINUTE_MS = 60_000


def policy(**changes: object) -> DriftPolicy:
    return DriftPolicy.model_validate({"endpoint": "card-fraud", "version": 1, **changes})


policies = st.builds(
    policy,
    window_hours=st.integers(1, 168),
    settle_minutes=st.integers(0, 1_440),
    catch_up_days=st.integers(8, 30),
    late_hours=st.integers(1, 300),
)


@given(policies, st.integers(0, 400 * DAY_MS))
def test_windows_follow_each_other_are_aligned_and_have_ended_and_settled(
    by: DriftPolicy, after_ms: int
) -> None:
    now_ms = NOW_MS + after_ms
    windows = ended_windows(by, now_ms)
    for window in windows:
        assert window.start_ms % by.window_ms == 0
        assert window.end_ms - window.start_ms == by.window_ms
        assert window.end_ms + by.settle_minutes * MINUTE_MS <= now_ms
        assert window.end_ms >= now_ms - by.catch_up_days * DAY_MS
    assert [b.start_ms for b in windows[1:]] == [a.end_ms for a in windows[:-1]]
    assert windows[-1].end_ms + by.window_ms + by.settle_minutes * MINUTE_MS > now_ms, "the last is the last"
    assert windows[0].start_ms < now_ms - by.catch_up_days * DAY_MS, "the first is the first"


@given(policies, st.lists(st.integers(1, 6 * DAY_MS), max_size=30))
def test_by_whatever_schedule_every_window_is_judged_once(by: DriftPolicy, pauses: list[int]) -> None:
    """As long as no pause is longer than what is caught up with."""
    judged_at: dict[str, int] = {}
    judged: list[Window] = []
    now_ms = NOW_MS
    for pause in [0, *pauses]:
        now_ms += pause
        for window in due_windows(by, now_ms, judged_at):
            judged_at[window.name] = now_ms
            judged.append(window)
    assert len({window.name for window in judged}) == len(judged)
    assert [b.start_ms for b in judged[1:]] == [a.end_ms for a in judged[:-1]], "in order, without a gap"
    assert not due_windows(by, now_ms, judged_at)


@given(policies, st.lists(st.integers(1, 6 * DAY_MS), max_size=30))
def test_a_judged_window_is_looked_at_until_its_last_records_may_have_come(
    by: DriftPolicy, pauses: list[int]
) -> None:
    judged_at: dict[str, int] = {}
    now_ms = NOW_MS
    for pause in [0, *pauses]:
        now_ms += pause
        for window in awaited_windows(by, now_ms, judged_at):
            assert judged_at[window.name] < window.end_ms + by.late_hours * HOUR_MS
            if now_ms >= window.end_ms + by.late_hours * HOUR_MS:
                judged_at[window.name] = now_ms
        for window in due_windows(by, now_ms, judged_at):
            judged_at[window.name] = now_ms
        for window in ended_windows(by, now_ms):
            if now_ms >= window.end_ms + by.late_hours * HOUR_MS:
                last_look_ms = judged_at[window.name]
                assert last_look_ms >= window.end_ms + by.late_hours * HOUR_MS


def test_another_length_has_windows_of_its_own() -> None:
    day, hour = policy(), policy(window_hours=1)
    judged = {window.name: NOW_MS for window in ended_windows(hour, NOW_MS)}
    assert due_windows(day, NOW_MS, judged) == ended_windows(day, NOW_MS)


def test_a_window_is_compared_with_the_week_before_or_with_its_own_weekday() -> None:
    window = Window(start_ms=20_000 * DAY_MS, end_ms=20_001 * DAY_MS)
    days = [(window.start_ms - each.start_ms) // DAY_MS for each in earlier_windows(policy(), window)]
    assert days == [7, 6, 5, 4, 3, 2, 1]
    weekly = earlier_windows(policy(season=Season.WEEKLY), window)
    assert [(window.start_ms - each.start_ms) // DAY_MS for each in weekly] == [28, 21, 14, 7]


@given(st.integers(1, 168), st.integers(0, 20 * DAY_MS), st.integers(0, 20 * DAY_MS))
def test_whole_windows_between_two_moments(hours: int, start_ms: int, length_ms: int) -> None:
    end_ms, length = start_ms + length_ms, hours * HOUR_MS
    windows = windows_between(length, start_ms, end_ms)
    assert all(start_ms <= each.start_ms and each.end_ms <= end_ms for each in windows)
    covered = sum(each.end_ms - each.start_ms for each in windows)
    assert length_ms - covered < 2 * length


def test_a_window_half_in_the_future_is_refused_in_one_sentence() -> None:
    window = Window(start_ms=NOW_MS - HOUR_MS, end_ms=NOW_MS + 1)
    with pytest.raises(InvalidParameter) as refusal:
        require_over(window, NOW_MS)
    assert str(refusal.value) == "A window is judged when it is over."
    (field,) = refusal.value.fields
    assert (field.field, field.reason) == (
        "to",
        "2025-10-09T08:53:20.001Z is in the future: it is 2025-10-09T08:53:20.000Z",
    )
    require_over(last_whole_window(24 * HOUR_MS, NOW_MS), NOW_MS)
