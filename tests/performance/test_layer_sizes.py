"""What a function carries, against Lambda's limit on its unzipped size."""

from pathlib import Path

import pytest

from layers.build import BUILDS, LAMBDA_LIMIT_MIB, RECIPES, layer_sizes, unzipped_bytes

LAMBDAS = Path(__file__).resolve().parents[2] / "lambdas"


@pytest.mark.parametrize("target", ["arm64", "x86_64"])
def test_every_function_fits_lambdas_limit_with_its_layers(target: str) -> None:
    assert all((BUILDS / target / layer).is_dir() for layer in RECIPES), "run make layers"
    layers = sum(layer_sizes(target).values())
    functions = {folder.name: unzipped_bytes(folder) for folder in LAMBDAS.iterdir() if folder.is_dir()}
    assert functions
    too_large = {n: size for n, size in functions.items() if size + layers > LAMBDA_LIMIT_MIB * 2**20}
    assert too_large == {}


@pytest.mark.parametrize("target", ["arm64", "x86_64"])
def test_the_layers_stay_small_enough_to_start_fast(target: str) -> None:
    """Measured: 21 MiB, where the lightgbm package with numpy, scipy and shap weighs 244 to 262 MiB."""
    assert sum(layer_sizes(target).values()) < 30 * 2**20
