"""Frames are encoded as requests are: column by column gives what ``Feature.encode`` gives row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from examples.card_fraud.contract import build_contract
from examples.card_fraud.features import compute_features
from examples.card_fraud.frame import Column, encode_column, encode_frame, partial, whole
from examples.card_fraud.simulator import SimulationConfig, simulate
from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Source, Unusable


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
    assert encode_column(known, column).tolist() == expected


@given(st.lists(st.tuples(st.floats(-9, 9), st.booleans()), min_size=1))
def test_numbers_out_of_range_follow_the_policy_as_their_rows_do(cells: list[tuple[float, bool]]) -> None:
    column = partial(np.array([value for value, _ in cells]), np.array([there for _, there in cells]))
    ranged = feature("number", "missing", minimum=-2.5, maximum=4)
    contract = Contract(endpoint="an-endpoint", features=(ranged,))
    expected = [encode_row(contract, {"x": column}, row)[0] for row in range(len(cells))]
    assert same_bits(encode_column(ranged, column), np.array(expected))


def test_rows_that_serving_would_refuse_stop_the_training() -> None:
    with pytest.raises(ValueError, match="x: 1 rows would be refused"):
        encode_column(feature("number", "reject", minimum=0), whole(np.array([1.0, -1.0])))


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("integer", whole(np.array([1.0]))),
        ("boolean", whole(np.array([1]))),
        ("number", whole(np.array([True]))),
        ("number", whole(np.array([0]), ("a",))),
        ("number", whole(np.array([np.nan]))),
    ],
)
def test_a_column_of_the_wrong_kind_is_refused(kind: str, column: Column) -> None:
    with pytest.raises(TypeError, match="x: "):
        encode_column(feature(kind, "missing"), column)


def test_the_contract_uses_every_type_source_and_policy() -> None:
    features = build_contract().features
    assert {f.type for f in features} == set(FeatureType)
    assert {f.source for f in features} == set(Source)
    assert {f.missing for f in features} == set(MissingPolicy)
    assert any(f.sensitive for f in features)


def test_reason_codes_are_distinct() -> None:
    codes = [f.reason_code for f in build_contract().features]
    assert len(set(codes)) == len(codes)
