"""UUIDv7 as RFC 9562 lays it out."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given, strategies as st

from quicksilver.ids import uuid7

times = st.integers(0, 2**48 - 1)


def test_the_rfcs_own_example_comes_out() -> None:
    # RFC 9562, appendix A.6: time 0x017F22E279B0, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    random = (0xCC3 << 64 | 0x18C4DC0C0C07398F).to_bytes(10)
    assert uuid7(0x017F22E279B0, random).upper() == "017F22E2-79B0-7CC3-98C4-DC0C0C07398F"


@given(times, times, st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time_whatever_the_random_part(a: int, b: int, x: bytes, y: bytes) -> None:
    if a < b:
        assert uuid7(a, x) < uuid7(b, y)


@given(times, st.binary(min_size=10, max_size=10))
def test_version_and_variant_are_always_set(now_ms: int, random: bytes) -> None:
    value = UUID(uuid7(now_ms, random))
    assert (value.version, value.variant) == (7, "specified in RFC 4122")
