"""What a function carries, which Lambda unpacks before a cold start can begin."""

from pathlib import Path

import pytest

from layers.build import BUILDS, CARRIED_BY_ALL, RECIPES, layer_sizes
from layers.weight import LAMBDA_LIMIT_MIB, unzipped_bytes

LAMBDAS = Path(__file__).resolve().parents[2] / "lambdas"
ALLOWED_MIB = 30


@pytest.mark.parametrize("target", ["arm64", "x86_64"])
def test_every_function_stays_small_enough_to_start_fast(target: str) -> None:
    """Measured: 25 and 26 MiB with byte code; the lightgbm package with numpy, scipy and shap weighs 244 to 262."""
    assert all((BUILDS / target / layer).is_dir() for layer in RECIPES), "run make layers"
    layers = sum(layer_sizes(target, CARRIED_BY_ALL).values())
    functions = {
        folder.name: unzipped_bytes(folder, without=("__pycache__",))
        for folder in LAMBDAS.iterdir()
        if folder.is_dir()
    }
    assert functions
    too_large = {name: size for name, size in functions.items() if size + layers > ALLOWED_MIB * 2**20}
    assert too_large == {}


@pytest.mark.parametrize("target", ["arm64", "x86_64"])
def test_what_computes_and_draws_fits_into_lambda_too(target: str) -> None:
    """Measured: 191 and 196 MiB."""
    assert sum(layer_sizes(target).values()) < (LAMBDA_LIMIT_MIB - 10) * 2**20
