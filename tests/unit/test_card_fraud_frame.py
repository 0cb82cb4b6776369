"""Frames are encoded as requests are: column by column gives what ``Feature.encode`` gives row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from examples.card_fraud.contract import build_contract
from examples.card_fraud.features import compute_features
from examples.card_fraud.simulator import SimulationConfig, simulate
from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Source, Unusable
from quicksilver.errors import InvalidData
from quicksilver.frame import Column, encode_frame, partial, whole


def encode_row(contract: Contract, frame: dict[str, Column], row: int) -> list[float]:
    vector = []
    for feature in contract.features:
        raw = frame[feature.name].raw(row)
        try:
            value = feature.default_value if raw is None else feature.encode(raw)
        except Unusable:
            value = feature.default_value
        vector.append(value)
    return vector


def same_bits(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    return left.tobytes() == right.tobytes()


def test_a_frame_is_encoded_as_its_rows_are() -> None:
    # Full drift brings a category that the contract does not know.
    config = SimulationConfig(transactions=3_000, cards=300, days=30, drift=1.0, drift_day=15)
    contract, frame = build_contract(), compute_features(simulate(config))
    rows = np.array([encode_row(contract, frame, row) for row in range(3_000)])
    assert same_bits(encode_frame(contract, frame), rows)
    assert np.isnan(rows[:, contract.names.index("merchant_category")]).any()


def encode_one(feature: Feature, column: Column) -> NDArray[np.float64]:
    return encode_frame(Contract(endpoint="an-endpoint", features=(feature,)), {"x": column})[:, 0]


def feature(kind: str, missing: str, **more: Any) -> Feature:
    return Feature(
        name="x", type=FeatureType(kind), source=Source.REQUEST, missing=MissingPolicy(missing),
        reason_code="X1", reason="Because", **more,
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1))
def test_categories_are_encoded_as_their_rows_are(cells: list[tuple[int, bool]]) -> None:
    labels = ("a", "b", "c", "d", "e")
    column = Column(np.array([code for code, _ in cells]), np.array([there for _, there in cells]), labels)
    known = feature("category", "default", categories=("d", "b", "a"), default="b")
    contract = Contract(endpoint="an-endpoint", features=(known,))
    expected = [encode_row(contract, {"x": column}, row)[0] for row in range(len(cells))]
    assert encode_one(known, column).tolist() == expected


@given(st.lists(st.tuples(st.floats(-9, 9), st.booleans()), min_size=1))
def test_numbers_out_of_range_follow_the_policy_as_their_rows_do(cells: list[tuple[float, bool]]) -> None:
    column = partial(np.array([value for value, _ in cells]), np.array([there for _, there in cells]))
    ranged = feature("number", "missing", minimum=-2.5, maximum=4)
    contract = Contract(endpoint="an-endpoint", features=(ranged,))
    expected = [encode_row(contract, {"x": column}, row)[0] for row in range(len(cells))]
    assert same_bits(encode_one(ranged, column), np.array(expected))


def test_rows_that_serving_would_refuse_stop_the_training() -> None:
    with pytest.raises(InvalidData) as refusal:
        encode_one(feature("number", "reject", minimum=0), whole(np.array([1.0, -1.0])))
    assert [str(field) for field in refusal.value.fields] == ["x: 1 rows would be refused in serving"]


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("integer", whole(np.array([1.5]))),
        ("boolean", whole(np.array([1]))),
        ("number", whole(np.array([True]))),
        ("number", whole(np.array([0]), ("a",))),
        ("number", whole(np.array([np.nan]))),
    ],
)
def test_a_column_of_the_wrong_kind_is_refused(kind: str, column: Column) -> None:
    with pytest.raises(InvalidData) as refusal:
        encode_one(feature(kind, "missing"), column)
    assert refusal.value.fields[0].field == "x"


def test_whole_numbers_in_a_column_of_floats_are_integers_as_they_are_in_a_request() -> None:
    column = partial(np.array([3.0, 0.0]), np.array([True, False]))
    assert same_bits(encode_one(feature("integer", "missing"), column), np.array([3.0, np.nan]))


def test_the_contract_uses_every_type_source_and_policy() -> None:
    features = build_contract().features
    assert {f.type for f in features} == set(FeatureType)
    assert {f.source for f in features} == set(Source)
    assert {f.missing for f in features} == set(MissingPolicy)
    assert any(f.sensitive for f in features)


def test_reason_codes_are_distinct() -> None:
    codes = [f.reason_code for f in build_contract().features]
    assert len(set(codes)) == len(codes)
