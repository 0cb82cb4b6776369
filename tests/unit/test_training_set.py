"""A training set is read as its contract's vectors; raw columns give the same vectors again; bad sets get one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from quicksilver.contract import Contract
from quicksilver.errors import InvalidData
from quicksilver.frame import encode_rows
from quicksilver.retraining.training_set import UNSEEN, read_training_set
from tests.conftest import contract_content
from tests.retraining import MINUTE_MS, START_MS, set_file

if TYPE_CHECKING:
    from tests.conftest import Trained

CONTRACT = Contract.model_validate(contract_content())
NAN = float("nan")
VECTORS = [[10.0, 0.0, 1.0, 3.0, 7.5, 0.1], [20.0, NAN, 0.0, 0.0, NAN, NAN], [30.0, 2.0, 0.0, 0.0, 1.0, 0.2]]


def test_rows_come_in_the_order_of_time_however_the_file_has_them(trained: Trained) -> None:
    data = [set_file(trained.vectors, trained.target, shuffle=shuffle) for shuffle in (None, 1)]
    for rows in (read_training_set(each, trained.contract) for each in data):
        assert rows.vectors.tobytes() == trained.vectors.tobytes()
        assert rows.labels.tolist() == trained.target.astype(bool).tolist()
        assert rows.times_ms[:2].tolist() == [START_MS, START_MS + MINUTE_MS]
    assert data[0] != data[1]


def test_groups_are_columns_by_attribute_and_missing_where_no_outcome_names_them() -> None:
    groups = [{"sex": "f", "age_band": "30-39"}, {}, {"sex": "m"}]
    rows = read_training_set(set_file(VECTORS, [0, 1, 0], groups=groups), CONTRACT)
    assert {name: [column.raw(row) for row in range(3)] for name, column in rows.groups.items()} == {
        "age_band": ["30-39", None, None],
        "sex": ["f", None, "m"],
    }


def test_a_degraded_value_is_missing_in_the_frame_and_an_unseen_category_has_no_name() -> None:
    degraded = {1: {"channel": "unseen_category", "txn_count_1h": "late"}, 2: {"cross_border": "absent"}}
    rows = read_training_set(set_file(VECTORS, [0, 1, 0], degraded=degraded), CONTRACT)
    frame = rows.frame()
    assert [frame["channel"].raw(row) for row in range(3)] == ["pos", UNSEEN, "atm"]
    assert [frame["txn_count_1h"].raw(row) for row in range(3)] == [3.0, None, 0.0]
    assert [frame["cross_border"].raw(row) for row in range(3)] == [True, False, None]
    encoded = encode_rows(CONTRACT, frame)
    assert encoded.vectors.tobytes() == rows.vectors.tobytes()
    assert encoded.unseen.sum() == 1


CAUSES = ("absent", "late", "stale", "unseen_category", "out_of_range", "no_key")


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_frame_gives_the_very_vectors_that_were_scored(data: st.DataObject) -> None:
    """Whatever was degraded: vectors are made here as scoring makes them, from values or by each feature's policy."""
    vectors, degraded = [], {}
    for row in range(data.draw(st.integers(1, 12))):
        vector, lost = [], {}
        for feature in CONTRACT.features:
            value = data.draw(st.integers(0, len(feature.categories or "ab") - 1).map(float))
            can_degrade = feature.name != "amount"
            if can_degrade and data.draw(st.booleans()):
                lost[feature.name] = data.draw(st.sampled_from(CAUSES))
                value = feature.default_value
            vector.append(value)
        vectors.append(vector)
        degraded[row] = lost
    rows = read_training_set(set_file(vectors, [0] * len(vectors), degraded=degraded), CONTRACT)
    assert encode_rows(CONTRACT, rows.frame()).vectors.tobytes() == np.array(vectors).tobytes()


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"no parquet", "set: is not Parquet of the columns prediction_id, time, vector, label, groups"),
        (set_file(VECTORS, [0, 1, 0], label=None), "label: has no column"),
        (set_file(VECTORS, [0, 1, 0], label=[True, None, None]), "label: is missing in 2 rows"),
        (set_file(VECTORS, [0, 1, 0], time=[None, 1, 2]), "time: is missing in 1 rows"),
        (
            set_file(VECTORS, [0, 1, 0], vector=[[1.0] * 6, [1.0] * 5, []]),
            "vector: has another number of values than the contract's 6 in 2 rows",
        ),
        (set_file(np.zeros((0, 6)), []), "set: must have rows"),
    ],
)
def test_what_is_no_training_set_is_refused_by_name(file: bytes, reason: str) -> None:
    with pytest.raises(InvalidData) as refused:
        read_training_set(file, CONTRACT)
    assert [str(field) for field in refused.value.fields] == [reason]


def test_a_code_that_no_category_has_is_refused() -> None:
    bent: list[list[Any]] = [list(vector) for vector in VECTORS]
    bent[0][1] = 9.0
    rows = read_training_set(set_file(bent, [0, 1, 0]), CONTRACT)
    with pytest.raises(InvalidData) as refused:
        rows.frame()
    assert "channel: has a code that is none of its 3" in [str(field) for field in refused.value.fields]
