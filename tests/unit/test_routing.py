"""Assignment is sticky, honours shares, and a growing canary keeps the entities it has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from quicksilver.routing import FULL_SHARE_BP, Arm, Role, Route, bucket

SHA = "0" * 64


def arm(number: int, role: Role, share_bp: int) -> Arm:
    return Arm(model=f"card-fraud@{number}", package_sha256=SHA, role=role, share_bp=share_bp)


def route(*arms: Arm, **more: Any) -> Route:
    content = {
        "endpoint": "card-fraud",
        "number": 1,
        "salt": "s",
        "author": "ada",
        "created_at": "t",
        "arms": arms,
    }
    return Route(**{**content, **more})


def canary_at(share_bp: int) -> Route:
    return route(arm(1, Role.CHAMPION, FULL_SHARE_BP - share_bp), arm(2, Role.CANARY, share_bp))


entities = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(entities, st.integers(0, FULL_SHARE_BP), st.integers(0, FULL_SHARE_BP))
def test_a_growing_canary_keeps_its_entities(entity: str, a: int, b: int) -> None:
    small, large = sorted((a, b))
    if canary_at(small).assign(entity).role is Role.CANARY:
        assert canary_at(large).assign(entity).role is Role.CANARY


@given(entities)
def test_a_share_of_zero_means_never_and_a_full_share_always(entity: str) -> None:
    assert canary_at(0).assign(entity).role is Role.CHAMPION
    assert canary_at(FULL_SHARE_BP).assign(entity).role is Role.CANARY


@given(entities, st.permutations([arm(1, Role.CHAMPION, 5_000), arm(2, Role.CANARY, 5_000)]))
def test_assignment_does_not_depend_on_where_the_champion_is_written(entity: str, arms: list[Arm]) -> None:
    assert route(*arms).assign(entity) == canary_at(5_000).assign(entity)


def test_shares_are_met_within_binomial_error() -> None:
    n, share = 50_000, 0.05
    hits = sum(canary_at(500).assign(f"card_{i}").role is Role.CANARY for i in range(n))
    # Five standard deviations of a binomial: a false alarm once in two million seeds, and this seed is fixed.
    assert abs(hits - n * share) < 5 * (n * share * (1 - share)) ** 0.5


def test_buckets_are_the_published_function_of_salt_and_entity() -> None:
    # BLAKE2b keyed with the salt, 8-byte digest, big-endian, modulo 10 000: recomputed by `b2sum`-independent means.
    from hashlib import blake2b

    expected = int(blake2b(b"card_000042", key=b"card-fraud/route", digest_size=8).hexdigest(), 16) % 10_000
    assert bucket("card-fraud/route", "card_000042") == expected


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        ([arm(1, Role.CHAMPION, 9_999)], "add up to 9999"),
        ([arm(1, Role.CANARY, 10_000)], "exactly one champion"),
        ([arm(1, Role.CHAMPION, 5_000), arm(2, Role.CHAMPION, 5_000)], "exactly one champion"),
        ([arm(1, Role.CHAMPION, 9_000), arm(2, Role.SHADOW, 1_000)], "a shadow answers nobody"),
        ([Arm(model="credit-line@1", package_sha256=SHA, role=Role.CHAMPION, share_bp=10_000)], "not a model version of"),
    ],
)  # fmt: skip
def test_arms_that_make_no_route_are_refused_with_the_reason(arms: list[Arm], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        route(*arms)
