"""Packing: any LightGBM model with one output goes in, and what does not fit is refused in one sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from quicksilver.contract import Contract
from quicksilver.errors import InvalidContract, InvalidData, InvalidPackage, NotFound
from quicksilver.frame import encode_frame
from quicksilver.package import MODEL_CARD
from quicksilver.training_frame import decode_matrix, read_frame
from tests.conftest import contract_content

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.conftest import Trained


def as_pandas(trained: Trained) -> pd.DataFrame:
    """The reference rows as a data scientist has them: categoricals, booleans, whole numbers with gaps."""
    columns = dict(zip(trained.contract.names, trained.vectors.T, strict=True))
    return pd.DataFrame(columns).assign(
        channel=pd.Categorical.from_codes(columns["channel"].astype(int), ["pos", "online", "atm"]),
        cross_border=columns["cross_border"].astype(bool),
        txn_count_1h=pd.array(columns["txn_count_1h"].astype(int), dtype="Int64"),
    )


def test_a_pandas_frame_arrays_and_an_encoded_matrix_give_the_same_package(
    trained: Trained, package: Package
) -> None:
    frame = as_pandas(trained)
    arrays = {name: frame[name].to_numpy(dtype=object) for name in frame}
    assert {trained.pack(reference=given).sha256 for given in (frame, arrays)} == {package.sha256}


def test_a_model_trained_elsewhere_is_packed_from_its_text(
    trained: Trained, package: Package, tmp_path: Path
) -> None:
    trained.booster.save_model(tmp_path / "model.txt")
    text = (tmp_path / "model.txt").read_text()
    for model in (text, text.encode(), tmp_path / "model.txt", str(tmp_path / "model.txt")):
        assert dataclasses.replace(trained, booster=model).pack().sha256 == package.sha256


def test_a_regression_is_packed_with_its_own_metrics(trained: Trained) -> None:
    outcome = np.nan_to_num(trained.vectors[:, 0])
    booster = lightgbm.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(trained.vectors, outcome, feature_name=list(trained.contract.names)),
        num_boost_round=10,
    )
    packed = dataclasses.replace(trained, booster=booster).pack(target=outcome, metrics=None)
    error = booster.predict(trained.vectors) - outcome
    assert packed.metrics == pytest.approx({"rmse": np.sqrt((error**2).mean()), "mae": np.abs(error).mean()})


def test_metrics_that_nobody_gave_are_those_on_the_reference_rows(trained: Trained) -> None:
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    metrics = trained.pack(metrics=None).metrics
    scores = trained.booster.predict(trained.vectors)
    assert metrics["auc"] == pytest.approx(roc_auc_score(trained.target, scores), rel=1e-12)
    assert metrics["brier"] == pytest.approx(brier_score_loss(trained.target, scores), rel=1e-12)
    assert metrics["log_loss"] == pytest.approx(log_loss(trained.target, scores), rel=1e-12)


def test_golden_rows_are_spread_evenly_over_the_reference_or_are_those_given(trained: Trained) -> None:
    spread = trained.pack(golden=4).golden_rows
    np.testing.assert_array_equal([row.vector for row in spread], trained.vectors[[0, 499, 999, 1499]])
    given = trained.pack(golden=trained.vectors[5:7]).golden_rows
    np.testing.assert_array_equal([row.vector for row in given], trained.vectors[5:7])


@pytest.mark.parametrize(
    ("golden", "complaint"),
    [
        (0, "must be at least 1"),
        (np.zeros((0, 6)), "must be a matrix with rows"),
        (np.zeros((2, 5)), "has 5 columns, not 6"),
    ],
)
def test_golden_rows_that_are_none_are_refused(trained: Trained, golden: Any, complaint: str) -> None:
    with pytest.raises(InvalidPackage) as refusal:
        trained.pack(golden=golden)
    assert str(refusal.value.fields[0]) == f"golden: {complaint}"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_model_text_is_refused_before_lightgbm_reads_past_its_end(
    trained: Trained, share: float
) -> None:
    text = trained.booster.model_to_string()
    text = text[: text.index("end of trees")]
    with pytest.raises(InvalidPackage, match=r"^The model text (is truncated|names no objective)"):
        dataclasses.replace(trained, booster=text[: int(len(text) * share)] + "\n").pack()


def test_a_tree_cut_out_of_the_middle_is_found(trained: Trained) -> None:
    text = trained.booster.model_to_string()
    start, end = text.index("Tree=3\n"), text.index("Tree=4\n")
    with pytest.raises(InvalidPackage, match="its trees are not as long as it says"):
        dataclasses.replace(trained, booster=text[:start] + text[end:]).pack()


def test_a_model_text_that_is_not_there_is_said_to_be_not_there(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read: No such file"):
        dataclasses.replace(trained, booster=tmp_path / "model.txt").pack()


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        (np.zeros(1_500), "target: must have both 0 and 1; nothing can be judged on one"),
        (np.ones(1_499), "target: has shape (1499,), not (1500,)"),
        (np.full(1_500, np.nan), "target: has missing values"),
        (np.arange(1_500), "target: must be 0 or 1 for this objective"),
        (["yes"] * 1_500, "target: must hold numbers"),
    ],
)
def test_a_target_that_nothing_can_be_judged_on_is_refused(
    trained: Trained, target: Any, complaint: str
) -> None:
    with pytest.raises(InvalidData) as refusal:
        trained.pack(target=target)
    assert str(refusal.value.fields[0]) == complaint


def test_one_reference_row_is_refused(trained: Trained) -> None:
    with pytest.raises(InvalidPackage, match=r"^The reference has too few rows: 1, and 50 are the least"):
        trained.pack(reference=trained.vectors[:1], target=trained.target[:1])


def recategorised(*categories: str) -> Contract:
    content = contract_content()
    content["features"][1]["categories"] = list(categories)
    return Contract.model_validate(content)


def test_a_category_beyond_training_is_named(trained: Trained) -> None:
    more = dataclasses.replace(trained, contract=recategorised("pos", "online", "atm", "pigeon"))
    with pytest.raises(InvalidPackage) as refusal:
        more.pack()
    assert str(refusal.value) == "The contract's categories are not those of training."
    assert [str(f) for f in refusal.value.fields] == [
        "channel: 'pigeon' occurs neither in training nor in the reference"
    ]


def test_fewer_categories_than_training_had_are_refused(trained: Trained) -> None:
    frame = as_pandas(trained).assign(channel="pos")
    with pytest.raises(InvalidPackage) as refusal:
        dataclasses.replace(trained, contract=recategorised("pos", "online")).pack(reference=frame)
    assert (
        str(refusal.value.fields[0]) == "channel: training had the code 2, and the contract has 2 categories"
    )


def test_rows_that_serving_would_refuse_are_counted_by_feature(trained: Trained) -> None:
    vectors = trained.vectors.copy()
    vectors[:3, 0] = -1.0
    with pytest.raises(InvalidData) as refusal:
        trained.pack(reference=vectors)
    assert [str(f) for f in refusal.value.fields] == ["amount: 3 rows would be refused in serving"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"amount": None}, "amount: is absent"),
        ({"amount": "much"}, "amount: must hold numbers"),
        ({"channel": 3}, "channel: must hold strings"),
        ({"cross_border": 1.5}, "cross_border: must hold true or false"),
        ({"txn_count_1h": 1.5}, "txn_count_1h: must hold integers"),
        ({"merchant_risk": np.inf}, "merchant_risk: must be finite where present"),
    ],
)
def test_a_column_that_does_not_fit_the_contract_is_named(
    trained: Trained, change: dict[str, Any], complaint: str
) -> None:
    frame = as_pandas(trained)
    ((name, value),) = change.items()
    frame = frame.drop(columns=name) if value is None else frame.assign(**change)
    with pytest.raises(InvalidData) as refusal:
        trained.pack(reference=frame)
    assert [str(f) for f in refusal.value.fields] == [complaint]


def test_a_protected_attribute_is_no_input_by_whichever_way_it_is_named(trained: Trained) -> None:
    groups = {"amount": ["a", "b"] * 750}
    with pytest.raises(InvalidContract) as refusal:
        trained.pack(protected=groups)
    assert str(refusal.value.fields[0]) == "features.amount: is a protected attribute"


def test_what_people_know_is_in_the_card_and_nothing_may_break_its_tables(trained: Trained) -> None:
    text = (
        trained.pack(card={"purpose": "Score | payments\nonline", "limits": "None known."})
        .files[MODEL_CARD]
        .decode()
    )
    assert "| Purpose | Score \\| payments online |" in text
    assert "## Limits\n\nNone known.\n" in text
    assert "| Owner | Not stated. |" in text
    assert "| auc | 0.9 |" in text
    assert all(f"`{name}`" in text for name in trained.contract.names)


def test_a_fact_that_no_card_has_is_refused(trained: Trained) -> None:
    with pytest.raises(InvalidPackage) as refusal:
        trained.pack(card={"author": "me"})
    assert refusal.value.fields[0].field == "author"


def test_the_package_holds_neither_outcomes_nor_groups(trained: Trained) -> None:
    package = trained.pack(protected={"sex": ["female", "male"] * 750})
    assert package.sha256 == trained.pack().sha256
    assert b"female" not in b"".join(package.files.values())


def test_decoding_a_matrix_and_encoding_it_again_changes_no_bit(trained: Trained) -> None:
    decoded = decode_matrix(trained.contract, trained.vectors)
    assert encode_frame(trained.contract, decoded).tobytes() == trained.vectors.tobytes()


def test_a_code_that_no_category_has_is_refused(trained: Trained) -> None:
    vectors = trained.vectors.copy()
    vectors[0, 1] = 7
    with pytest.raises(InvalidData) as refusal:
        trained.pack(reference=vectors)
    assert str(refusal.value.fields[0]) == "channel: has a code that is none of its 3"


def test_a_column_of_mixed_types_is_named() -> None:
    with pytest.raises(InvalidData) as refusal:
        read_frame({"x": ["a", 1, None]}, ["x"])
    assert str(refusal.value.fields[0]) == "x: holds int and str, which no feature does"


def test_columns_of_different_lengths_are_named() -> None:
    with pytest.raises(InvalidData) as refusal:
        read_frame({"x": [1], "y": [1, 2]}, ["x", "y"])
    assert [str(field) for field in refusal.value.fields] == ["x: has 1 rows", "y: has 2 rows"]


def test_a_fallback_score_that_is_no_probability_does_not_fit_a_classifier(trained: Trained) -> None:
    contract = Contract.model_validate({**contract_content(), "fallback_score": 1.5})
    with pytest.raises(InvalidPackage) as refusal:
        dataclasses.replace(trained, contract=contract).pack()
    assert [field.field for field in refusal.value.fields] == ["fallback_score"]
