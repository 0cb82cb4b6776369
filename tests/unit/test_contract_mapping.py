"""A vector of one contract becomes a vector of another by the features' names, and nothing is guessed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from quicksilver.contract import Contract, Unusable
from quicksilver.contract_mapping import Mapping, unmappable
from quicksilver.errors import InvalidContract, InvalidRequest
from tests.conftest import contract_content

VECTOR = (812.5, 1.0, 1.0, 3.0, 55.5, 0.07)


def bent(**changes: dict[str, Any] | None) -> Contract:
    """The tests' contract with features changed by name; ``None`` leaves one out."""
    content = contract_content()
    content["features"] = [
        {**feature, **(changes.get(feature["name"]) or {})}
        for feature in content["features"]
        if changes.get(feature["name"], {}) is not None
    ]
    used = {feature.get("group") for feature in content["features"]}
    content["groups"] = {group: key for group, key in content["groups"].items() if group in used}
    return Contract.model_validate(content)


OWN = bent()


def mapped(
    target: Contract, vector: tuple[float, ...] = VECTOR, degraded: frozenset[str] = frozenset()
) -> dict[str, float]:
    return dict(zip(target.names, Mapping(OWN, target).vector(vector, degraded), strict=True))


@given(st.tuples(*[st.floats(allow_infinity=False)] * 6), st.frozensets(st.sampled_from(OWN.names)))
def test_under_the_same_contract_a_vector_stays_bit_for_bit(
    vector: tuple[float, ...], degraded: frozenset[str]
) -> None:
    same = Mapping(OWN, Contract.from_json(OWN.canonical_json)).vector(vector, degraded)
    assert [value.hex() for value in same] == [value.hex() for value in vector]


@given(
    st.floats(0, 1_000_000),
    st.sampled_from(["pos", "online", "atm"]),
    st.booleans(),
    st.permutations(["pos", "online", "atm", "phone"]),
    st.permutations(range(6)),
)
def test_what_both_contracts_take_is_what_the_other_would_have_encoded_itself(
    amount: float, channel: str, abroad: bool, categories: list[str], order: list[int]
) -> None:
    content = bent(channel={"categories": categories}).model_dump(mode="json")
    content["features"] = [content["features"][place] for place in order]
    target = Contract.model_validate(content)
    raw = {"amount": amount, "channel": channel, "cross_border": abroad}
    vector = tuple(
        feature.encode(raw[feature.name]) if feature.name in raw else value
        for feature, value in zip(OWN.features, VECTOR, strict=True)
    )
    found = mapped(target, vector)
    for feature in target.features:
        if feature.name in raw:
            assert found[feature.name] == feature.encode(raw[feature.name])
        else:
            assert found[feature.name] == VECTOR[OWN.names.index(feature.name)]


def test_categories_are_decoded_by_one_contract_and_encoded_by_the_other() -> None:
    assert mapped(bent(channel={"categories": ["atm", "pos", "online"]}))["channel"] == 2.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"missing": "missing"}, math.nan),
        ({"missing": "refer"}, math.nan),
        ({"missing": "default", "default": "pos"}, 0.0),
    ],
)
def test_an_unseen_category_follows_the_shadows_own_policy(changes: dict[str, Any], expected: float) -> None:
    value = mapped(bent(channel={"categories": ["pos", "atm"], **changes}))["channel"]
    assert value == expected or (math.isnan(value) and math.isnan(expected))


def test_a_value_out_of_the_shadows_range_follows_its_own_policy() -> None:
    amount = {"maximum": 500, "missing": "default", "default": 500}
    assert mapped(bent(amount=amount))["amount"] == 500.0


def test_a_missing_value_follows_the_shadows_own_policy() -> None:
    vector = (*VECTOR[:5], math.nan)
    assert mapped(bent(merchant_risk={"missing": "default", "default": 0.5}), vector)["merchant_risk"] == 0.5


def test_a_default_that_stood_in_is_no_value() -> None:
    """cross_border was not sent, so the vector has the answering contract's default; the shadow has another one."""
    target = bent(cross_border={"default": True})
    vector = (812.5, 1.0, 0.0, 3.0, 55.5, 0.07)
    assert mapped(target, vector, frozenset({"cross_border"}))["cross_border"] == 1.0
    assert mapped(target, vector)["cross_border"] == 0.0


def test_what_the_shadow_rejects_is_named() -> None:
    target = bent(
        amount={"maximum": 500},
        channel={"categories": ["pos"], "missing": "reject"},
        merchant_risk={"missing": "reject"},
    )
    with pytest.raises(InvalidRequest) as caught:
        Mapping(OWN, target).vector((*VECTOR[:5], math.nan), frozenset())
    assert [str(field) for field in caught.value.fields] == [
        "amount: is out of range",
        "channel: is unseen category",
        "merchant_risk: is missing",
    ]


def test_features_that_the_answering_contract_does_not_have_are_named() -> None:
    source = bent(merchant_risk=None, channel={"type": "number", "categories": []})
    fields = [str(field) for field in unmappable(source, OWN)]
    assert fields == [
        "channel: is a number in the answering contract, not a category",
        "merchant_risk: is not in the answering contract",
    ]
    with pytest.raises(InvalidContract):
        Mapping(source, OWN)


def test_a_shadow_may_do_with_fewer_features() -> None:
    target = bent(merchant_risk=None, cross_border=None)
    assert mapped(target) == {"amount": 812.5, "channel": 1.0, "txn_count_1h": 3.0, "amount_mean_7d": 55.5}


def test_an_integer_is_a_number_and_a_whole_number_an_integer() -> None:
    target = bent(txn_count_1h={"type": "number"}, amount_mean_7d={"type": "integer"})
    assert mapped(target, (*VECTOR[:4], 55.0, 0.07))["amount_mean_7d"] == 55.0
    with pytest.raises(InvalidRequest, match="cannot be scored"):
        mapped(target)


@pytest.mark.parametrize("vector", [VECTOR[:5], (*VECTOR, 1.0), ()])
def test_a_vector_of_another_length_is_refused(vector: tuple[float, ...]) -> None:
    for target in (OWN, bent(merchant_risk=None)):
        with pytest.raises(InvalidRequest, match="not of its contract"):
            Mapping(OWN, target).vector(vector, frozenset())


@pytest.mark.parametrize("code", [3.0, -1.0, 0.5, math.inf])
def test_a_code_that_no_category_has_is_refused(code: float) -> None:
    with pytest.raises(InvalidRequest):
        mapped(bent(channel={"categories": ["atm", "pos"]}), (1.0, code, *VECTOR[2:]))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_mapped_number_is_one_the_shadow_takes_or_missing(amount: float) -> None:
    target = bent(amount={"maximum": 500, "missing": "missing"})
    source = bent(amount={"minimum": None, "maximum": None})
    (value, *_) = Mapping(source, target).vector((amount, *VECTOR[1:]), frozenset())
    try:
        expected = target.features[0].encode(amount)
    except Unusable:
        expected = math.nan
    assert value == expected or (math.isnan(value) and math.isnan(expected))
