"""What is tested is what is deployed: a layer built from other sources or another lock is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk import App

from layers.provenance import MARKER
from stacks.build import build
from stacks.config import ConfigError, load_stage
from stacks.constructs.layers import BUILT, built_layer


@pytest.mark.parametrize("name", BUILT)
def test_a_layer_built_from_its_present_sources_is_taken(name: str, layers_root: Path) -> None:
    assert built_layer(layers_root, "arm64", name) == layers_root / ".build" / "arm64" / name


def test_a_layer_not_built_for_the_target_says_what_to_run(make_layers: Callable[[], Path]) -> None:
    root = make_layers()
    (root / ".build" / "x86_64" / "runtime" / MARKER).unlink()
    with pytest.raises(ConfigError, match=r"^The layer runtime is not built for x86_64; run make layers\.$"):
        built_layer(root, "x86_64", "runtime")


def test_a_layer_built_from_another_lock_says_what_to_run(make_layers: Callable[[], Path]) -> None:
    root = make_layers()
    (root / "runtime" / "requirements.txt").write_text("pydantic==2.1\n")
    with pytest.raises(
        ConfigError, match=r"^The layer runtime for arm64 was built from another lock; run make layers\.$"
    ):
        built_layer(root, "arm64", "runtime")


@pytest.mark.parametrize(
    "source", ["python/quicksilver/ids.py", "python/quicksilver/aws/new.py", "native/kernel.h"]
)
def test_a_core_built_from_other_sources_says_what_to_run(
    source: str, make_layers: Callable[[], Path]
) -> None:
    root = make_layers()
    with (root / "core" / source).open("a") as file:
        file.write("\n")
    with pytest.raises(
        ConfigError, match=r"^The layer core for arm64 was built from other sources; run make layers\.$"
    ):
        built_layer(root, "arm64", "core")


def test_layers_that_are_more_than_lambda_takes_are_refused(
    make_layers: Callable[[], Path], tmp_path: Path
) -> None:
    root = make_layers()
    with (root / ".build" / "arm64" / "runtime" / "python" / "large.bin").open("wb") as large:
        large.truncate(250 * 2**20)
    with pytest.raises(
        ConfigError,
        match=r"^The layers core, runtime, lightgbm of stage prod are 25\d MiB together, runtime with 250 MiB the largest; "
        r"Lambda takes 250 MiB with the function\.$",
    ):
        build(App(outdir=str(tmp_path / "assembly")), load_stage("prod"), layers_root=root)


def test_a_stage_without_its_layers_is_not_built(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    with pytest.raises(ConfigError, match="is not built for arm64; run make layers"):
        build(App(outdir=str(tmp_path / "assembly")), load_stage("prod"), layers_root=tmp_path)
