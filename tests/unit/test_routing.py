"""Assignment is sticky, honours shares, and a growing canary keeps the entities it has."""

from __future__ import annotations

from collections import Counter
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


ENTITIES = tuple(f"card_{number:06d}" for number in range(200_000))


def assigned(to: Route, role: Role) -> set[str]:
    return {entity for entity in ENTITIES if to.assign(entity).role is role}


def assert_is_a_share(entities: int, share: float, of: int = len(ENTITIES)) -> None:
    # Five standard deviations of a binomial: a false alarm once in two million seeds, and this seed is fixed.
    assert abs(entities - of * share) < 5 * (of * share * (1 - share)) ** 0.5


def test_a_growing_canary_has_its_share_of_200_000_entities_and_loses_none() -> None:
    before: set[str] = set()
    for share_bp in (100, 500, 2_500, 5_000):
        canary = assigned(canary_at(share_bp), Role.CANARY)
        assert_is_a_share(len(canary), share_bp / FULL_SHARE_BP)
        assert before < canary
        before = canary


def experiment(holdout_bp: int = 0) -> Route:
    """Three arms that answer, by an experiment's own salt."""
    return route(
        arm(1, Role.CHAMPION, 7_500),
        arm(2, Role.CHALLENGER, 1_500),
        arm(3, Role.CHALLENGER, 1_000),
        salt="card-fraud/experiment/7",
        holdout_bp=holdout_bp,
    )


def test_an_experiment_of_three_arms_with_a_holdout_has_its_shares_of_200_000_entities() -> None:
    whole, held = experiment(), experiment(holdout_bp=100)
    counts: Counter[str] = Counter()
    held_out = 0
    for entity in ENTITIES:
        arm = held.assign(entity)
        if held.holds_out(entity):
            held_out += 1
            assert arm.role is Role.CHAMPION
        else:
            counts[arm.model] += 1
            assert arm == whole.assign(entity), "a holdout moves nobody else"
    assert_is_a_share(held_out, 0.01)
    for model, share in (("card-fraud@1", 0.75), ("card-fraud@2", 0.15), ("card-fraud@3", 0.1)):
        assert_is_a_share(counts[model], share, of=len(ENTITIES) - held_out)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("card-fraud/holdout", "card-fraud/route"),
        ("card-fraud/holdout", "card-fraud/experiment/7"),
        ("card-fraud/route", "card-fraud/experiment/7"),
        ("card-fraud/experiment/7", "card-fraud/experiment/8"),
        ("card-fraud/route", "credit-line/route"),
    ],
)
def test_places_under_two_salts_have_nothing_to_do_with_each_other(one: str, other: str) -> None:
    """Pearson's chi-square test of independence on a 10 by 10 table of an entity's places."""
    import numpy as np
    from scipy.stats import chi2_contingency

    table = np.zeros((10, 10))
    for entity in ENTITIES[:100_000]:
        table[bucket(one, entity) // 1_000, bucket(other, entity) // 1_000] += 1
    # Fixed seeds, so this fails always or never; the least of five p-values is below 1e-4 once in two thousand.
    assert chi2_contingency(table).pvalue > 1e-4


def test_an_entitys_place_is_uniform_over_all_buckets() -> None:
    import numpy as np
    from scipy.stats import chisquare

    places = np.bincount([bucket("card-fraud/route", entity) for entity in ENTITIES], minlength=FULL_SHARE_BP)
    assert len(places) == FULL_SHARE_BP
    assert chisquare(places).pvalue > 1e-4


def test_a_copy_with_other_arms_assigns_by_them_and_must_be_a_route_too() -> None:
    full = canary_at(FULL_SHARE_BP)
    assert full.assign("card_1").role is Role.CANARY
    copied = full.model_copy(update={"arms": canary_at(0).arms})
    assert copied.assign("card_1").role is Role.CHAMPION
    assert full.model_copy(update={"number": 2}) == full.model_copy(update={"number": 2})
    with pytest.raises(ValidationError, match="add up to"):
        full.model_copy(update={"arms": (arm(1, Role.CHAMPION, 9_999),)})


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
        ([arm(1, Role.CHAMPION, 5_000), arm(1, Role.CANARY, 5_000)], "answers by one arm only"),
        ([Arm(model="credit-line@1", package_sha256=SHA, role=Role.CHAMPION, share_bp=10_000)], "not a model version of"),
    ],
)  # fmt: skip
def test_arms_that_make_no_route_are_refused_with_the_reason(arms: list[Arm], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        route(*arms)
