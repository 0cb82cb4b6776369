"""What is tested is what is deployed: a layer built from another lock is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from aws_cdk import App

from app import build
from stacks.config import ConfigError, load_stage
from stacks.constructs.layers import built_layer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A layers folder with one layer, built for arm64 from its present lock."""
    lock = tmp_path / "runtime" / "requirements.txt"
    lock.parent.mkdir()
    lock.write_text("pydantic==2.0\n")
    marker = tmp_path / ".build" / "arm64" / "runtime" / ".lock-sha256"
    marker.parent.mkdir(parents=True)
    marker.write_text(hashlib.sha256(lock.read_bytes()).hexdigest() + "\n")
    return tmp_path


def test_a_layer_built_from_its_present_lock_is_taken(root: Path) -> None:
    assert built_layer(root, "arm64", "runtime") == root / ".build" / "arm64" / "runtime"


def test_a_layer_not_built_for_the_target_says_what_to_run(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^The layer runtime is not built for x86_64; run make layers\.$"):
        built_layer(root, "x86_64", "runtime")


def test_a_layer_built_from_another_lock_says_what_to_run(root: Path) -> None:
    (root / "runtime" / "requirements.txt").write_text("pydantic==2.1\n")
    with pytest.raises(
        ConfigError, match=r"^The layer runtime for arm64 was built from another lock; run make layers\.$"
    ):
        built_layer(root, "arm64", "runtime")


def test_a_stage_without_its_layers_is_not_built(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    with pytest.raises(ConfigError, match="is not built for arm64; run make layers"):
        build(App(outdir=str(tmp_path / "assembly")), load_stage("prod"), layers_root=tmp_path)
