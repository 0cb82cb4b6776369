"""The contract: what it accepts, how it encodes, and that its fingerprint is its content."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from quicksilver.contract import Contract, Feature, Unusable
from quicksilver.errors import InvalidContract
from tests.conftest import contract_content


def test_the_fingerprint_ignores_key_order_and_blanks() -> None:
    content = contract_content()
    shuffled = json.dumps(dict(reversed(content.items())), indent=4)
    assert Contract.from_json(shuffled).fingerprint == Contract.from_json(json.dumps(content)).fingerprint


def test_the_fingerprint_changes_with_the_order_of_features() -> None:
    content = contract_content()
    reordered = {**content, "features": content["features"][::-1]}
    assert Contract.model_validate(reordered).fingerprint != Contract.model_validate(content).fingerprint


def test_canonical_json_reads_back_to_the_same_contract() -> None:
    contract = Contract.model_validate(contract_content())
    assert Contract.from_json(contract.canonical_json) == contract


@pytest.mark.parametrize(
    ("index", "change", "reason"),
    [
        (0, {"group": "card"}, "an online feature needs a group"),
        (3, {"max_age_seconds": None}, "an online feature needs max_age_seconds"),
        (1, {"categories": []}, "a category feature needs categories"),
        (1, {"categories": ["pos", "pos"]}, "categories must be distinct"),
        (0, {"minimum": 5, "maximum": 4}, "minimum is greater than maximum"),
        (2, {"minimum": 0}, "minimum and maximum are for numbers"),
        (2, {"default": None}, "the policy 'default' needs a default"),
        (0, {"default": 1.0}, "the policy 'default' needs a default"),
        (2, {"default": "no"}, "the default is not usable"),
        (0, {"name": "amount_mean_7d"}, "appears more than once"),
        (3, {"group": "device"}, "group device has no key in groups"),
        (5, {"group": "card"}, "group merchant has no feature"),
        (0, {"minimum": float("inf")}, "finite number"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused_with_the_reason(
    index: int, change: dict[str, Any], reason: str
) -> None:
    content = contract_content()
    content["features"][index] |= change
    with pytest.raises(InvalidContract) as refusal:
        Contract.from_json(json.dumps(content))
    assert any(reason in str(field) for field in refusal.value.fields), refusal.value.fields


def test_an_empty_contract_is_refused() -> None:
    with pytest.raises(InvalidContract):
        Contract.from_json(json.dumps({**contract_content(), "features": [], "groups": {}}))


def _feature(kind: str, **more: Any) -> Feature:
    return Feature.model_validate(
        {
            "name": "x",
            "type": kind,
            "source": "request",
            "missing": "missing",
            "reason_code": "X1",
            "reason": "x",
            **more,
        }
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_encoded_bit_for_bit(value: float) -> None:
    assert math.copysign(1, _feature("number").encode(value)) == math.copysign(1, value)
    assert _feature("number").encode(value) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "12"), ("number", True), ("number", float("nan")), ("number", float("inf")), ("number", 10**400),
        ("number", [1]), ("integer", 1.5), ("integer", False), ("boolean", 1), ("boolean", "true"), ("category", 1),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused_without_repeating_it(kind: str, value: object) -> None:
    more = {"categories": ["a"]} if kind == "category" else {}
    with pytest.raises(TypeError, match=r"^must be [a-z0-9 -]+$"):
        _feature(kind, **more).encode(value)


def test_what_the_contract_does_not_cover_is_unusable_and_says_why() -> None:
    with pytest.raises(Unusable, match="unseen_category"):
        _feature("category", categories=["a"]).encode("b")
    with pytest.raises(Unusable, match="out_of_range"):
        _feature("number", minimum=0).encode(-0.1)
    with pytest.raises(Unusable, match="out_of_range"):
        _feature("integer", maximum=9).encode(10)


def test_a_category_is_encoded_as_its_position() -> None:
    feature = _feature("category", categories=["b", "a"])
    assert [feature.encode("b"), feature.encode("a")] == [0.0, 1.0]


def test_range_ends_are_inside() -> None:
    feature = _feature("number", minimum=-1, maximum=1)
    assert [feature.encode(-1), feature.encode(1.0)] == [-1.0, 1.0]
