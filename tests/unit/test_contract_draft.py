"""A drafted contract says what the rows show, and refuses what no contract may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from quicksilver.contract import Contract, Feature
from quicksilver.contract_draft import draft_contract, edit_contract
from quicksilver.errors import InvalidContract, InvalidData
from quicksilver.frame import encode_frame
from quicksilver.training_frame import read_frame


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "amount": [0.5, 1_234.0, 18.25],
            "channel": pd.Categorical(["web", "pos", None], categories=["web", "pos", "atm"]),
            "country": ["pt", "at", "pt"],
            "cross_border": [True, False, True],
            "balance": [-1_120.0, 3.5, -7.0],
            "card_count_1h": [1, 0, np.nan],
            "target": [0, 1, 0],
        }
    )


def drafted(**changes: Any) -> Contract:
    return draft_contract(frame(), endpoint="card-fraud", **changes)


def feature(contract: Contract, name: str) -> Feature:
    return contract.features[contract.names.index(name)]


def test_features_are_the_columns_in_their_order_and_the_outcome_is_none() -> None:
    assert drafted().names == tuple(frame().columns[:-1])


def test_types_are_those_of_the_columns() -> None:
    expected = ["number", "category", "category", "boolean", "number", "integer"]
    assert [item.type.value for item in drafted().features] == expected


def test_categories_are_in_the_order_of_pandas_codes_and_sorted_for_plain_strings() -> None:
    contract = drafted()
    assert feature(contract, "channel").categories == ("web", "pos", "atm")
    assert feature(contract, "country").categories == ("at", "pt")


def test_codes_are_those_a_model_trained_on_pandas_codes_has_seen() -> None:
    vectors = encode_frame(drafted(), read_frame(frame(), drafted().names))
    codes = frame()["channel"].cat.codes.to_numpy(dtype=float)
    np.testing.assert_array_equal(vectors[:, 1], np.where(codes < 0, np.nan, codes))


@pytest.mark.parametrize(
    ("name", "low", "high"), [("amount", 0, 1_300), ("balance", -1_200, 3.5), ("card_count_1h", 0, 1)]
)
def test_ranges_are_the_rows_own_rounded_outwards_and_amounts_stay_non_negative(
    name: str, low: float, high: float
) -> None:
    assert (feature(drafted(), name).minimum, feature(drafted(), name).maximum) == (low, high)


def test_online_features_get_their_group_key_and_age() -> None:
    contract = drafted(
        online={"card": ["card_count_1h"], "account": ["balance"]},
        keys={"account": "account_id"},
        max_age_seconds={"card": 3_600},
    )
    assert contract.groups == {"card": "entity_id", "account": "account_id"}
    assert contract.online_names == ("balance", "card_count_1h")
    assert feature(contract, "card_count_1h").max_age_seconds == 3_600
    assert feature(contract, "balance").max_age_seconds == 86_400


def test_what_a_person_says_is_kept() -> None:
    contract = drafted(monotone={"amount": 1}, sensitive=["balance"], protected=["sex"])
    assert feature(contract, "amount").monotone == 1
    assert feature(contract, "balance").sensitive
    assert contract.protected == ("sex",)
    assert feature(contract, "amount").reason_code == "AMOUNT"


def test_a_draft_is_edited_feature_by_feature() -> None:
    edited = edit_contract(drafted(), {"amount": {"missing": "reject", "maximum": 5_000}}, top_reasons=2)
    assert (edited.features[0].missing, edited.features[0].maximum) == ("reject", 5_000)
    assert (edited.top_reasons, edited.features[1:]) == (2, drafted().features[1:])


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        ({"amuont": {"missing": "reject"}}, "amuont: is no feature"),
        ({"amount": {"missing": "default"}}, "the policy 'default' needs a default"),
        ({"channel": {"monotone": 1}}, "a category has no order, so it cannot be monotone"),
    ],
)
def test_an_edit_that_makes_no_contract_is_refused(edit: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidContract) as refusal:
        edit_contract(drafted(), edit)
    assert complaint in str(refusal.value.fields[0])


def test_a_protected_attribute_among_the_columns_is_refused() -> None:
    with pytest.raises(InvalidContract) as refusal:
        drafted(protected=["country", "sex"])
    assert [str(field) for field in refusal.value.fields] == ["country: is a protected attribute"]


def test_a_name_that_is_no_column_is_refused() -> None:
    with pytest.raises(InvalidContract) as refusal:
        drafted(online={"card": ["amuont"]})
    assert [str(field) for field in refusal.value.fields] == ["amuont: is no feature"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None, None, None], "is missing in every row"),
        ([1.0, np.inf, 2.0], "must be finite where present"),
        ([(1,), (2,), (3,)], "holds tuple, which no feature does"),
    ],
)
def test_a_column_that_can_be_no_feature_is_named(values: list[Any], reason: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        draft_contract(frame().assign(odd=pd.Series(values)), endpoint="card-fraud")
    assert [str(field) for field in refusal.value.fields] == [f"odd: {reason}"]


def test_an_identifier_is_no_category() -> None:
    ids = {"id": [f"c{number}" for number in range(1_001)]}
    with pytest.raises(InvalidData, match="No feature can be drafted"):
        draft_contract(ids, endpoint="card-fraud")


def test_a_name_that_no_feature_may_have_is_refused_by_the_contract_itself() -> None:
    with pytest.raises(InvalidContract) as refusal:
        draft_contract({"Loan Amount": [1, 2]}, endpoint="card-fraud")
    assert refusal.value.fields[0].field == "name"
