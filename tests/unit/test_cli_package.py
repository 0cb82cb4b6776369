"""``quicksilver model pack|check|card|diff``, as a person types them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from quicksilver.cli import app as cli
from quicksilver.package import GOLDEN, MANIFEST, METRICS, REFERENCE, Package, open_package, seal
from quicksilver.package_files import read_package, write_package

if TYPE_CHECKING:
    from tests.conftest import Trained


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(cli.app, ["model", *map(str, arguments)])


@pytest.fixture
def inputs(trained: Trained, tmp_path: Path) -> tuple[str, ...]:
    """Files as a data scientist has them, and the options that name them."""
    frame = pd.DataFrame(dict(zip(trained.contract.names, trained.vectors.T, strict=True)))
    frame["channel"] = frame["channel"].map({0: "pos", 1: "online", 2: "atm"})
    frame["cross_border"] = frame["cross_border"].astype(bool)
    frame.assign(sex=["f", "m", None] * 500, target=trained.target).to_parquet(tmp_path / "ref.parquet")
    trained.booster.save_model(tmp_path / "model.txt")
    (tmp_path / "contract.json").write_bytes(trained.contract.canonical_json)
    (tmp_path / "card.toml").write_text('purpose = "Score payments."\n')
    files = {
        "--model": "model.txt",
        "--contract": "contract.json",
        "--reference": "ref.parquet",
        "--card": "card.toml",
    }
    return tuple(word for option, name in files.items() for word in (option, str(tmp_path / name)))


@pytest.mark.parametrize("name", ["package", "package.tar"])
def test_files_become_a_package_with_its_evaluation_rows_beside_it(
    inputs: tuple[str, ...], trained: Trained, tmp_path: Path, name: str
) -> None:
    result = run("pack", tmp_path / name, *inputs, "--protected", "sex", "--golden", "20", "--json")
    assert result.exit_code == 0, result.output
    package = read_package(tmp_path / name)
    assert json.loads(result.stdout)["package_sha256"] == package.sha256
    assert package.files[GOLDEN] == trained.pack().files[GOLDEN]
    beside = pd.read_parquet(tmp_path / "package.evaluation.parquet")
    assert list(beside.columns) == [*trained.contract.names, "sex", "target"]
    assert run("check", tmp_path / name).exit_code == 0


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--target", "outcome", "outcome: is absent"),
        ("--protected", "race", "race: is absent"),
        ("--protected", "amount", "is a protected attribute"),
        ("--model", "nowhere.txt", "--model nowhere.txt cannot be read"),
        ("--reference", "model.txt", "not a Parquet file"),
    ],
)
def test_what_cannot_be_packed_is_explained_and_nothing_is_written(
    inputs: tuple[str, ...], tmp_path: Path, option: str, value: str, words: str
) -> None:
    named = str(tmp_path / value) if option == "--reference" else value
    result = run("pack", tmp_path / "package", *inputs, option, named)
    assert (result.exit_code, words in result.stderr) == (1, True), result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("package*"))


def altered(package: Package, **changes: bytes) -> Package:
    files = {name: data for name, data in package.files.items() if name != MANIFEST}
    files |= {name.replace("__", "."): data for name, data in changes.items()}
    return open_package(seal("card-fraud", package.contract.fingerprint, files).__getitem__)


def test_a_check_explains_everything_that_is_wrong_and_not_the_first_thing_only(
    package: Package, second_package: Package, tmp_path: Path
) -> None:
    rows = list(package.golden_rows)
    rows[3] = dataclasses.replace(rows[3], raw_score=math.nextafter(rows[3].raw_score, math.inf))
    golden = "".join(row.to_json() + "\n" for row in rows).encode()
    profile = package.files[REFERENCE].replace(b'"amount"', b'"amuont"')
    write_package(
        altered(package, golden__jsonl=golden, reference__json=profile, metrics__json=b"[]"), tmp_path / "p"
    )
    result = run("check", tmp_path / "p", "--json")
    assert result.exit_code == 1
    found = {item["part"]: item for item in json.loads(result.stdout)["findings"]}
    assert {part: item["sound"] for part, item in found.items()} == {
        "files": True, "contract": True, "model": True,
        "golden rows": False, "reference profile": False, "metrics": False,
    }  # fmt: skip
    assert found["golden rows"]["fields"][0]["field"] == f"{GOLDEN}:4"
    assert {field["field"] for field in found["reference profile"]["fields"]} == {
        "features.amount",
        "features.amuont",
    }
    assert found["metrics"]["fields"][0]["field"] == METRICS
    shown = run("check", tmp_path / "p").stdout
    assert "wrong golden rows: The model does not give its golden rows." in shown
    assert "The package is not sound." in shown


def test_a_card_is_written_beside_the_package_and_its_path_is_printed(
    package: Package, tmp_path: Path
) -> None:
    write_package(package, tmp_path / "p.tar")
    result = run("card", tmp_path / "p.tar")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "p.card.html")
    assert (tmp_path / "p.card.html").read_text().startswith("<!doctype html>")


def test_two_packages_are_compared(package: Package, second_package: Package, tmp_path: Path) -> None:
    write_package(package, tmp_path / "a")
    write_package(second_package, tmp_path / "b.tar")
    difference = json.loads(run("diff", tmp_path / "a", tmp_path / "b.tar", "--json").stdout)
    assert difference["metrics"] == [{"name": "auc", "before": 0.9, "after": 0.91}]
    assert "The contract is the same." in run("diff", tmp_path / "a", tmp_path / "b.tar").stdout
