"""The package: same inputs same bytes, and nothing altered, missing or ill-fitting is believed."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quicksilver.contract import Contract
from quicksilver.errors import InvalidPackage, NotFound
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.package import (
    GOLDEN,
    MANIFEST,
    MODEL,
    REQUIRED_FILES,
    GoldenRow,
    Package,
    check_model,
    open_package,
    seal,
)  # fmt: skip
from quicksilver.package_files import read_package, write_package
from tests.conftest import contract_content

if TYPE_CHECKING:
    from tests.conftest import Trained


def resealed(package: Package, **changes: bytes) -> Package:
    """The package with some files changed and an honest manifest over them."""
    files = {name: data for name, data in package.files.items() if name != MANIFEST}
    files |= {name.replace("__", "."): data for name, data in changes.items()}
    return open_package(seal("card-fraud", package.contract.fingerprint, files).__getitem__)


def test_packing_twice_gives_the_same_bytes(trained: Trained, package: Package) -> None:
    again = trained.pack()
    assert (again.sha256, again.files) == (package.sha256, package.files)


def test_a_package_survives_its_folder(package: Package, tmp_path: Path) -> None:
    write_package(package, tmp_path / "package")
    assert read_package(tmp_path / "package").sha256 == package.sha256


def test_a_folder_that_holds_something_is_not_written_to(package: Package, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InvalidPackage, match="not empty"):
        write_package(package, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("name", sorted(REQUIRED_FILES))
def test_a_flipped_byte_in_any_file_is_named(package: Package, name: str) -> None:
    files = dict(package.files)
    files[name] = bytes([files[name][0] ^ 1]) + files[name][1:]
    with pytest.raises(InvalidPackage, match=f"{name} is not what its SHA-256 says"):
        open_package(files.__getitem__)


def test_a_rewritten_manifest_is_not_the_package_that_was_registered(package: Package) -> None:
    forged = resealed(package, metrics__json=b"{}\n")
    with pytest.raises(InvalidPackage, match=r"manifest\.json"):
        open_package(forged.files.__getitem__, package.sha256)


def test_a_file_that_is_missing_is_named(package: Package, tmp_path: Path) -> None:
    write_package(package, tmp_path / "p")
    (tmp_path / "p" / MODEL).unlink()
    with pytest.raises(NotFound, match=r"model\.txt"):
        read_package(tmp_path / "p")


def test_a_manifest_without_a_required_file_is_refused(package: Package) -> None:
    files = {name: data for name, data in package.files.items() if name not in (MANIFEST, GOLDEN)}
    with pytest.raises(InvalidPackage) as refusal:
        open_package(seal("card-fraud", package.contract.fingerprint, files).__getitem__)
    assert [item.field for item in refusal.value.fields] == [GOLDEN]


def test_a_golden_row_off_by_one_ulp_is_found(package: Package) -> None:
    rows = list(package.golden_rows)
    rows[3] = dataclasses.replace(rows[3], raw_score=math.nextafter(rows[3].raw_score, math.inf))
    altered = resealed(package, golden__jsonl="".join(row.to_json() + "\n" for row in rows).encode())
    with pytest.raises(InvalidPackage) as refusal:
        check_model(altered, LightGBMEvaluator(altered.model_text))
    assert refusal.value.fields[0].field == f"{GOLDEN}:4"


def test_a_contract_in_another_order_than_the_model_is_refused(trained: Trained) -> None:
    content = contract_content()
    content["features"][0], content["features"][1] = content["features"][1], content["features"][0]
    with pytest.raises(InvalidPackage) as refusal:
        dataclasses.replace(trained, contract=Contract.model_validate(content)).pack()
    assert str(refusal.value) == "The contract does not fit the model: its features are in another order."
    assert refusal.value.fields[0].reason == "feature 1 is channel in the contract and amount in the model"


def test_a_contract_with_a_feature_less_names_the_one_that_is_not_there(trained: Trained) -> None:
    content = contract_content()
    del content["features"][1]
    with pytest.raises(InvalidPackage) as refusal:
        dataclasses.replace(trained, contract=Contract.model_validate(content)).pack()
    sentence = "The contract does not fit the model: the contract has 5 features and the model 6."
    assert str(refusal.value) == sentence
    assert [str(field) for field in refusal.value.fields] == [
        "channel: is in the model and not in the contract"
    ]


def test_a_metric_that_is_no_number_is_refused(trained: Trained) -> None:
    with pytest.raises(InvalidPackage) as refusal:
        trained.pack(metrics={"auc": math.nan})
    assert refusal.value.fields[0].field == "auc"


def test_golden_rows_hold_lightgbms_own_numbers(trained: Trained, package: Package) -> None:
    vectors = trained.vectors[np.linspace(0, len(trained.vectors) - 1, 20).astype(int)]
    raw = trained.booster.predict(vectors, raw_score=True)
    contributions = trained.booster.predict(vectors, pred_contrib=True)
    for row, expected_raw, expected in zip(package.golden_rows, raw, contributions, strict=True):
        assert row.raw_score == expected_raw
        assert list(row.contributions) == list(expected)
    np.testing.assert_array_equal(np.array([row.vector for row in package.golden_rows]), vectors)


def test_a_malformed_golden_row_is_named_by_its_line(package: Package) -> None:
    broken = resealed(package, golden__jsonl=package.files[GOLDEN] + b'{"vector": 3}\n')
    with pytest.raises(InvalidPackage) as refusal:
        _ = broken.golden_rows
    assert refusal.value.fields[0].field == f"{GOLDEN}:21"


def test_a_golden_row_reads_back_bit_for_bit() -> None:
    row = GoldenRow((0.1 + 0.2, math.nan, -0.0, 5e-324), -1.7976931348623157e308, (1 / 3,))
    again = GoldenRow.from_json(row.to_json())
    assert again.raw_score == row.raw_score
    assert again.contributions == row.contributions
    assert [value.hex() for value in again.vector] == [value.hex() for value in row.vector]
