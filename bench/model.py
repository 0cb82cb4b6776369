"""The model that every bench scores: trees of 63 leaves on 40 features, 15 from the request and 25 online.

Trained once, deterministically, and kept under ``build/bench/`` by what it was made of. Its data has
interactions, thresholds and missing values, so that trees use most features and are of uneven depth: what a
path costs to explain depends on how deep it is.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Source
from quicksilver.package import MANIFEST, Package, open_package

if TYPE_CHECKING:
    from quicksilver.frame import Floats

CACHE = Path("build/bench")
ENDPOINT = "bench"
GROUPS = {"entity": "entity_id", "merchant": "merchant_id", "device": "device_id"}
LEAVES = 63
TRAINING_ROWS = 40_000
MISSING_SHARE = 0.04

# name, type, group (None: from the request), and how many categories
_REQUEST: list[tuple[str, FeatureType, str | None, int]] = [
    ("amount", FeatureType.NUMBER, None, 0),
    ("amount_to_limit", FeatureType.NUMBER, None, 0),
    ("merchant_category", FeatureType.CATEGORY, None, 24),
    ("channel", FeatureType.CATEGORY, None, 4),
    ("currency", FeatureType.CATEGORY, None, 12),
    ("hour_of_day", FeatureType.INTEGER, None, 0),
    ("day_of_week", FeatureType.INTEGER, None, 0),
    ("card_present", FeatureType.BOOLEAN, None, 0),
    ("cross_border", FeatureType.BOOLEAN, None, 0),
    ("authenticated", FeatureType.BOOLEAN, None, 0),
    ("cvv_match", FeatureType.BOOLEAN, None, 0),
    ("distance_km", FeatureType.NUMBER, None, 0),
    ("seconds_since_login", FeatureType.NUMBER, None, 0),
    ("basket_items", FeatureType.INTEGER, None, 0),
    ("tip_share", FeatureType.NUMBER, None, 0),
]
_ENTITY = [f"entity_{name}" for name in (
    "txn_count_1h", "txn_count_24h", "txn_count_7d", "amount_sum_24h", "amount_mean_7d", "amount_max_30d",
    "declines_24h", "new_merchants_7d", "countries_30d", "tenure_days", "utilisation", "night_share_30d",
)]  # fmt: skip
_MERCHANT = [f"merchant_{name}" for name in (
    "fraud_rate_30d", "txn_count_1h", "amount_mean_7d", "age_days", "chargebacks_90d", "refund_share_30d",
)]  # fmt: skip
_DEVICE = [
    f"device_{name}" for name in ("cards_24h", "age_days", "score", "txn_count_1h", "failed_logins_24h")
]
_ONLINE: list[tuple[str, FeatureType, str | None, int]] = [
    *((name, FeatureType.NUMBER, "entity", 0) for name in _ENTITY),
    *((name, FeatureType.NUMBER, "merchant", 0) for name in _MERCHANT),
    ("merchant_country", FeatureType.CATEGORY, "merchant", 30),
    *((name, FeatureType.NUMBER, "device", 0) for name in _DEVICE),
    ("device_system", FeatureType.CATEGORY, "device", 6),
]


@dataclass(frozen=True)
class BenchModel:
    """A package and vectors that training has not seen, shape ``(rows, 40)``; NaN is missing."""

    package: Package
    vectors: list[list[float]]

    @property
    def contract(self) -> Contract:
        return self.package.contract


def bench_model(
    trees: int = 500, leaves: int = LEAVES, rows: int = 1_000, *, categorical: bool = True
) -> BenchModel:
    """The bench model of that size, from the cache or trained now (some ten seconds for 500 trees).

    Without ``categorical`` it splits on categories as if their codes were numbers, for who knows no other splits.
    """
    contract = bench_contract()
    vectors, target = _data(contract, TRAINING_ROWS + rows)
    kind = "" if categorical else "-numbers"
    folder = CACHE / f"{trees}x{leaves}{kind}-{_recipe(contract, trees, leaves, categorical)}"
    if not (folder / MANIFEST).exists():
        print(f"training {trees} trees x {leaves} leaves, once, into {folder}", file=sys.stderr)
        package = _train(
            contract, vectors[:TRAINING_ROWS], target[:TRAINING_ROWS], trees, leaves, categorical
        )
        _keep(folder, package)
    package = open_package(lambda name: (folder / name).read_bytes())
    return BenchModel(package, vectors[TRAINING_ROWS:].tolist())


def bench_contract() -> Contract:
    return Contract(
        endpoint=ENDPOINT,
        groups=GROUPS,
        features=tuple(
            Feature(
                name=name,
                type=kind,
                source=Source.ONLINE if group else Source.REQUEST,
                missing=MissingPolicy.MISSING,
                group=group,
                categories=tuple(f"c{code:02d}" for code in range(categories)),
                # The rows are written once, before the benches start.
                max_age_seconds=30 * 86_400 if group else None,
                reason_code=name.upper(),
                reason=f"The {name.replace('_', ' ')} is unusual.",
            )
            for name, kind, group, categories in [*_REQUEST, *_ONLINE]
        ),
    )


def _data(contract: Contract, count: int) -> tuple[Floats, Any]:
    """Vectors and outcomes. About 4 % of the outcomes are 1, as where fraud is scored."""
    import numpy as np

    rng = np.random.default_rng(20_261)
    columns = []
    for feature in contract.features:
        if feature.type is FeatureType.CATEGORY:
            weights = 1 / np.arange(2, len(feature.categories) + 2)
            columns.append(rng.choice(len(weights), size=count, p=weights / weights.sum()).astype(np.float64))
        elif feature.type is FeatureType.BOOLEAN:
            columns.append((rng.random(count) < 0.4).astype(np.float64))
        elif feature.type is FeatureType.INTEGER:
            columns.append(rng.integers(0, 24, count).astype(np.float64))
        else:
            columns.append(np.round(rng.lognormal(0, 1, count), 4))
    vectors = np.column_stack(columns)
    # Levels per feature, thresholds, and products of neighbours: no feature explains the outcome by itself.
    centred = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    logit = centred @ rng.normal(scale=0.25, size=centred.shape[1])
    for left, right in rng.permutation(centred.shape[1]).reshape(-1, 2).tolist():
        logit += 0.35 * np.tanh(centred[:, left]) * np.tanh(centred[:, right])
        logit += 0.5 * ((centred[:, left] > 0.8) & (centred[:, right] > 0.2))
    target = (rng.random(count) < 1 / (1 + np.exp(-(logit - 4.2)))).astype(np.int64)
    online = [place for place, feature in enumerate(contract.features) if feature.source is Source.ONLINE]
    holes = rng.random((count, len(online))) < MISSING_SHARE
    vectors[:, online] = np.where(holes, np.nan, vectors[:, online])
    return vectors, target


def _train(
    contract: Contract, vectors: Floats, target: Any, trees: int, leaves: int, categorical: bool
) -> Package:
    import lightgbm

    from quicksilver.packing import pack

    categories = [feature.name for feature in contract.features if feature.categories and categorical]
    rows = lightgbm.Dataset(
        vectors, target, feature_name=list(contract.names), categorical_feature=categories
    )
    booster = lightgbm.train(_parameters(leaves), rows, num_boost_round=trees)
    return pack(booster, contract, reference=vectors[:5_000], target=target[:5_000], golden=20)


def _parameters(leaves: int) -> dict[str, Any]:
    return {
        "objective": "binary", "num_leaves": leaves, "learning_rate": 0.03, "feature_fraction": 0.6,
        "bagging_fraction": 0.8, "bagging_freq": 1, "min_data_in_leaf": 20, "seed": 3,
        "num_threads": os.cpu_count() or 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
    }  # fmt: skip


def _recipe(contract: Contract, trees: int, leaves: int, categorical: bool) -> str:
    """A digest of everything the package depends on: the data's code too, and LightGBM's release."""
    from importlib.metadata import version

    parts = [
        contract.fingerprint, trees, categorical, TRAINING_ROWS, MISSING_SHARE, version("lightgbm"), inspect.getsource(_data),
        inspect.getsource(_train), {**_parameters(leaves), "num_threads": 0},
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _keep(folder: Path, package: Package) -> None:
    """Write the package, its manifest last: a folder that has one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(package.files, key=lambda name: name == MANIFEST):
        (folder / name).write_bytes(package.files[name])
