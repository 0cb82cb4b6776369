"""Moments as text and as numbers say the same."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from quicksilver.instants import epoch_ms, utc_iso


@given(st.integers(0, 4_102_444_800_000))
def test_a_moment_survives_being_written(moment: int) -> None:
    assert epoch_ms(utc_iso(moment)) == moment


def test_a_moment_elsewhere_is_the_same_moment() -> None:
    assert epoch_ms("2026-11-23T08:16:00.000+01:00") == epoch_ms("2026-11-23T07:16:00Z")


@pytest.mark.parametrize("text", ["", "t", "2026-11-23", "2026-11-23T07:16:00.000"])
def test_what_is_no_moment_or_in_no_time_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|time zone"):
        epoch_ms(text)
