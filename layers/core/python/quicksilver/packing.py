"""Packing: from a trained booster and a contract to a model package. Training side; never in a layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quicksilver.contract import Contract
from quicksilver.errors import FieldError, InvalidPackage, NotFound
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.package import (
    CONTRACT,
    GOLDEN,
    METRICS,
    MODEL,
    GoldenRow,
    Package,
    check_model,
    open_package,
    seal,
)

if TYPE_CHECKING:
    from lightgbm import Booster


def pack(
    booster: Booster,
    contract: Contract,
    *,
    golden: NDArray[np.float64],
    metrics: Mapping[str, float],
) -> Package:
    """Make a package. Deterministic: the same booster, contract and rows give the same bytes.

    Parameters
    ----------
    golden: vectors of shape ``(rows, features)`` in contract order; their exact raw scores and
        contributions are computed here by LightGBM and go into the package.
    metrics: the metrics of the training run, by name.

    Raises ``InvalidPackage`` where the contract does not fit the booster or a metric is not finite.
    """
    if golden.ndim != 2 or not len(golden):
        raise InvalidPackage(
            "The golden rows are not usable.", [FieldError("golden", "must be a matrix with rows")]
        )
    if golden.shape[1] != len(contract.features):
        raise InvalidPackage(
            "The golden rows do not fit the contract.",
            [FieldError("golden", f"has {golden.shape[1]} columns, not {len(contract.features)}")],
        )
    if unusable := [name for name, value in metrics.items() if not np.isfinite(value)]:
        raise InvalidPackage(
            "A metric is not a number.", [FieldError(name, "must be finite") for name in unusable]
        )
    model_text = booster.model_to_string().encode()
    rows = _golden_rows(LightGBMEvaluator(model_text), golden, contract)
    files = {
        MODEL: model_text,
        CONTRACT: contract.canonical_json,
        GOLDEN: "".join(row.to_json() + "\n" for row in rows).encode(),
        METRICS: (json.dumps(dict(metrics), sort_keys=True, indent=2, allow_nan=False) + "\n").encode(),
    }
    sealed = seal(contract.endpoint, contract.fingerprint, files)
    package = open_package(sealed.__getitem__)
    check_model(package, LightGBMEvaluator(model_text))
    return package


def _golden_rows(
    evaluator: LightGBMEvaluator, golden: NDArray[np.float64], contract: Contract
) -> list[GoldenRow]:
    if evaluator.feature_names != contract.names:
        raise InvalidPackage(
            "The contract does not fit the model.",
            [FieldError("features", "the contract's names are not the model's, in the model's order")],
        )
    rows = []
    for vector in golden.tolist():
        evaluation = evaluator.evaluate(vector)
        rows.append(
            GoldenRow(
                tuple(vector), evaluation.raw_score, (*evaluation.contributions, evaluation.expected_value)
            )
        )
    return rows


def write_package(package: Package, folder: Path) -> None:
    """Write a package to an empty or new folder, the manifest last."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidPackage(
            f"The folder {folder} is not empty.", [FieldError("path", "must be empty or new")]
        )
    for name, data in sorted(package.files.items(), key=lambda item: item[0] == "manifest.json"):
        (folder / name).write_bytes(data)


def read_package(folder: Path) -> Package:
    """Read a package from a folder and verify it. Raises ``NotFound`` for a file that is not there."""

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"The package {folder} has no {name}.") from None

    return open_package(read)
