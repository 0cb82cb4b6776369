"""The locks: complete, hashed, of one mind, and silent about where packages are fetched from."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted([*ROOT.glob("requirements/**/*.txt"), *ROOT.glob("layers/*/requirements.txt")])
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>\S+)", re.MULTILINE)


def pins(lock: Path) -> set[tuple[str, str]]:
    return {(pin["name"], pin["version"]) for pin in PIN.finditer(lock.read_text())}


def test_every_in_file_has_its_lock() -> None:
    sources = [*ROOT.glob("requirements/**/*.in"), *ROOT.glob("layers/*/requirements.in")]
    assert sorted(source.with_suffix(".txt") for source in sources) == LOCKS


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_pin_of_a_lock_has_a_hash(lock: Path) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", "\n" + lock.read_text())[1:]
    assert blocks
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize(
    "lock",
    [*LOCKS, ROOT / "package-lock.json", ROOT / ".npmrc"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_lock_names_a_registry(lock: Path) -> None:
    text = lock.read_text()
    if lock.suffix == ".json":
        # Where an author may be paid is no place to fetch a package from.
        packages = json.loads(text)["packages"].values()
        text = json.dumps(
            [{key: value for key, value in each.items() if key != "funding"} for each in packages]
        )
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("layer", ["runtime", "lightgbm", "analysis"])
def test_tests_run_with_the_versions_that_the_layers_ship(layer: str) -> None:
    assert pins(ROOT / "layers" / layer / "requirements.txt") <= pins(ROOT / "requirements" / "dev.txt")


def test_uv_is_the_same_in_both_locks_that_hold_it() -> None:
    assert pins(ROOT / "requirements" / "bootstrap.txt") <= pins(ROOT / "requirements" / "dev.txt")


def test_the_cdk_command_line_is_pinned_to_one_version_with_its_hash() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]["aws-cdk"]
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]["node_modules/aws-cdk"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", wanted)
    assert locked["version"] == wanted
    assert locked["integrity"].startswith("sha512-")
