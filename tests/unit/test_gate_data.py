"""The evaluation file: what is written reads back, raw columns encode as requests do, bad rows get one sentence."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quicksilver.contract import Contract, Unusable
from quicksilver.errors import InvalidData, NotFound
from quicksilver.evaluation_file import evaluation_bytes, open_evaluation, read_evaluation
from quicksilver.gates.data import EvaluationData
from tests.conftest import contract_content
from tests.gates import evaluation

if TYPE_CHECKING:
    from tests.conftest import Trained


def read(table: dict[str, Any]) -> EvaluationData:
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink)
    return open_evaluation(sink.getvalue())


def rows(**changes: Any) -> dict[str, Any]:
    """Two rows of every feature, the outcome and a protected attribute, as Arrow would take them."""
    usual: dict[str, Any] = {
        "amount": [10.0, 20.5],
        "channel": ["pos", None],
        "cross_border": [True, None],
        "txn_count_1h": [3, None],
        "amount_mean_7d": [None, 7.5],
        "merchant_risk": [float("nan"), 0.5],
        "target": [0, 1],
        "sex": ["female", None],
    }
    return {name: column for name, column in {**usual, **changes}.items() if column is not None}


CONTRACT = Contract.model_validate(contract_content())


def fields(refusal: pytest.ExceptionInfo[InvalidData]) -> list[str]:
    return [str(field) for field in refusal.value.fields]


def test_what_is_written_reads_back_and_is_named_by_its_sha256(trained: Trained) -> None:
    frame = pd.DataFrame({"amount": [1.5, 2.0], "channel": pd.Series(["pos", None], dtype=object)})
    data = evaluation_bytes(frame, [0, 1], {"sex": ["m", None]})
    again = evaluation_bytes(frame, np.array([False, True]), pd.DataFrame({"sex": ["m", None]}))
    assert data == again
    read_back = open_evaluation(data)
    assert read_back.sha256 == hashlib.sha256(data).hexdigest()
    assert [read_back.columns["channel"].raw(row) for row in (0, 1)] == ["pos", None]
    assert read_back.target.tolist() == [False, True]
    assert [read_back.groups("sex").names[code] for code in read_back.groups("sex").codes] == ["m", "unknown"]


def test_raw_columns_become_the_vectors_the_model_was_trained_on(trained: Trained) -> None:
    encoded = evaluation(trained).encode(trained.contract)
    # Missing values of a feature with a default are that default in serving, and were so in no training row.
    assert encoded.vectors.tobytes() == trained.vectors.tobytes()
    assert not encoded.refused.any()


def test_every_value_is_encoded_as_feature_encode_does() -> None:
    values: dict[str, list[Any]] = {
        "amount": [0.0, 1_000_000.0, 3.25, 7.0],
        "channel": ["atm", "teleport", None, "pos"],
        "cross_border": [True, False, None, True],
        "txn_count_1h": [0, 2**53 + 1, None, 5],
        "amount_mean_7d": [1e-300, None, -0.0, 4.0],
        "merchant_risk": [0.1, None, 0.3, 1.0],
    }
    encoded = read({**values, "target": [0, 1, 0, 1]}).encode(CONTRACT).vectors
    expected = []
    for row in range(4):
        vector = []
        for feature in CONTRACT.features:
            raw = values[feature.name][row]
            try:
                vector.append(feature.default_value if raw is None else feature.encode(raw))
            except Unusable:
                vector.append(feature.default_value)
        expected.append(vector)
    assert encoded.tobytes() == np.array(expected).tobytes()


def test_a_row_that_serving_would_refuse_is_marked() -> None:
    encoded = read(rows(amount=[-1.0, 2.0])).encode(CONTRACT)
    assert encoded.refused.tolist() == [True, False]


def test_categories_and_groups_may_be_dictionary_encoded() -> None:
    data = read(
        rows(
            channel=pa.array(["online", None]).dictionary_encode(),
            sex=pa.array(["m", None]).dictionary_encode(),
        )
    )
    assert data.encode(CONTRACT).vectors[0, 1] == 1.0
    assert np.isnan(data.encode(CONTRACT).vectors[1, 1])
    assert data.groups("sex").names == ("m", "unknown")


def test_null_and_blank_are_the_group_unknown_and_a_column_without_values_is_all_unknown() -> None:
    assert read(rows(sex=["", None])).groups("sex").names == ("unknown",)
    assert read(rows(sex=pa.nulls(2))).groups("sex").names == ("unknown",)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (None, "target: has no column"),
        ([0, None], "target: is missing in 1 rows"),
        ([0, 2], "target: must be 0 or 1 in every row"),
        (["0", "1"], "target: must be 0 or 1 in every row"),
        ([0.0, 0.5], "target: must be 0 or 1 in every row"),
        ([1, 1], "target: is 1 in every row, and one class cannot be judged"),
        ([0, 0], "target: is 0 in every row, and one class cannot be judged"),
    ],
)
def test_a_target_that_cannot_be_judged_is_refused(column: Any, reason: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        _ = read(rows(target=column)).target
    assert fields(refusal) == [reason]


@pytest.mark.parametrize("column", [[0.0, 1.0], [False, True], [0, 1]])
def test_a_target_may_be_numbers_or_booleans(column: Any) -> None:
    assert read(rows(target=column)).target.tolist() == [False, True]


def test_every_absent_column_is_named_at_once() -> None:
    with pytest.raises(InvalidData) as refusal:
        read(rows(amount=None, merchant_risk=None, target=None)).check(CONTRACT, ("sex", "race"))
    assert fields(refusal) == [
        "amount: is a feature of the contract and has no column",
        "merchant_risk: is a feature of the contract and has no column",
        "race: is a protected attribute and has no column",
        "target: has no column",
    ]


@pytest.mark.parametrize(
    ("name", "column", "reason"),
    [
        ("amount", ["1", "2"], "must hold numbers"),
        ("channel", [1, 2], "must hold strings"),
        ("cross_border", [0, 1], "must hold true or false"),
        ("txn_count_1h", [0.5, 1.0], "must hold integers"),
        ("amount", [float("inf"), 1.0], "must be finite where present"),
        ("amount", [pd.Timestamp("2026-01-01")] * 2, "is of the Parquet type TIMESTAMP, which no feature has"),
    ],
)  # fmt: skip
def test_a_column_of_the_wrong_type_is_refused_by_name(name: str, column: Any, reason: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        read(rows(**{name: column})).encode(CONTRACT)
    assert fields(refusal) == [f"{name}: {reason}"]


def test_a_protected_attribute_must_be_there_and_be_strings() -> None:
    with pytest.raises(InvalidData) as refusal:
        read(rows()).groups("race")
    assert fields(refusal) == ["race: is a protected attribute and has no column"]
    with pytest.raises(InvalidData) as refusal:
        read(rows(sex=[1, 2])).groups("sex")
    assert fields(refusal) == ["sex: is a protected attribute and must be a column of strings"]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"a,b\n1,2\n", b"PAR1" + bytes(100) + b"PAR1"])
def test_bytes_that_are_no_parquet_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidData, match="is not a Parquet file"):
        open_evaluation(data)


def test_a_file_without_rows_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="not usable") as refusal:
        read({"target": pa.array([], type=pa.int8())})
    assert fields(refusal) == ["data: must have rows"]
    with pytest.raises(NotFound, match=r"no evaluation data at .*absent\.parquet"):
        read_evaluation(tmp_path / "absent.parquet")
    with pytest.raises(NotFound, match="cannot be read"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("features", "target", "protected", "reason"),
    [
        ({"a": [1, 2]}, [0], {}, "target: has 1 rows, not 2"),
        ({"a": [1, 2]}, [0, 1], {"sex": ["m"]}, "sex: has 1 rows, not 2"),
        ({"sex": [1, 2]}, [0, 1], {"sex": ["m", "f"]}, "sex: is both a feature and a protected attribute"),
        ({"target": [1, 2]}, [0, 1], {}, "target: is the name of the outcome and of no other column"),
        ({"a": [1, "x"]}, [0, 1], {}, "a: holds int and str, which no feature does"),
    ],
)
def test_rows_that_make_no_file_are_refused(features: Any, target: Any, protected: Any, reason: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        evaluation_bytes(features, target, protected)
    assert reason in fields(refusal)
