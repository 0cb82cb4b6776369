"""What every ring of tests shares: a small contract and a model trained on it, once per session."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quicksilver.contract import Contract
from quicksilver.packing import pack
from tests.local_stack import LocalStack, running_stack

if TYPE_CHECKING:
    from lightgbm import Booster
    from numpy.typing import NDArray

    from quicksilver.package import Package


def contract_content() -> dict[str, Any]:
    """A contract with every feature type, source and missing policy, as plain data that a test may bend."""

    def feature(name: str, kind: str, source: str, missing: str, **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "type": kind,
            "source": source,
            "missing": missing,
            "reason_code": name.upper(),
            "reason": f"The {name} is unusual.",
            **more,
        }

    return {
        "endpoint": "card-fraud",
        "groups": {"card": "entity_id", "merchant": "merchant_id"},
        "features": [
            feature("amount", "number", "request", "reject", minimum=0, maximum=1_000_000, sensitive=True),
            feature("channel", "category", "request", "missing", categories=["pos", "online", "atm"]),
            feature("cross_border", "boolean", "request", "default", default=False),
            feature(
                "txn_count_1h", "integer", "online", "default", group="card", default=0, max_age_seconds=3600
            ),
            feature("amount_mean_7d", "number", "online", "refer", group="card", max_age_seconds=3600),
            feature("merchant_risk", "number", "online", "missing", group="merchant", max_age_seconds=86_400),
        ],
        "top_reasons": 3,
    }


@dataclass(frozen=True)
class Trained:
    """A booster, its contract, vectors of shape (rows, 6) in contract order, and their outcomes."""

    booster: Booster
    contract: Contract
    vectors: NDArray[np.float64]
    target: NDArray[np.int64]

    def pack(self, **changes: Any) -> Package:
        """The model's package, with what a test wants otherwise."""
        usual = {"reference": self.vectors, "target": self.target, "golden": 20, "metrics": {"auc": 0.9}}
        return pack(self.booster, self.contract, **{**usual, **changes})


def train(contract: Contract, seed: int = 7, categorical: str = "channel") -> Trained:
    import lightgbm

    rng = np.random.default_rng(seed)
    n = 1_500
    vectors = np.column_stack(
        [
            rng.exponential(80, n),
            rng.integers(0, 3, n).astype(float),
            rng.integers(0, 2, n).astype(float),
            rng.poisson(2, n).astype(float),
            rng.exponential(60, n),
            rng.beta(2, 40, n),
        ]
    )
    vectors[:, 4:6][rng.random((n, 2)) < 0.1] = np.nan
    signal = vectors[:, 0] / 80 + vectors[:, 3] / 2 + np.nan_to_num(vectors[:, 5]) * 20 + (vectors[:, 1] == 1)
    target = (signal + rng.normal(size=n) > 4).astype(np.int64)
    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": seed},
        lightgbm.Dataset(
            vectors, target, feature_name=list(contract.names), categorical_feature=[categorical]
        ),
        num_boost_round=25,
    )
    return Trained(booster, contract, vectors, target)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Let no test inherit the handlers that another's function has set up for its logs (``configure_logging``)."""
    package = logging.getLogger("quicksilver")
    before = list(package.handlers), package.level, package.propagate
    yield
    package.handlers, package.level, package.propagate = before


@pytest.fixture(scope="session")
def trained() -> Trained:
    return train(Contract.model_validate(contract_content()))


@pytest.fixture(scope="session")
def package(trained: Trained) -> Package:
    return trained.pack()


@pytest.fixture(scope="session")
def second_package(trained: Trained) -> Package:
    return train(trained.contract, seed=8).pack(metrics={"auc": 0.91})


@pytest.fixture(scope="session")
def local_stack() -> Iterator[LocalStack]:
    """``stage=local`` on an emulator of this session's own, beside whatever else runs on the machine."""
    with running_stack() as stack:
        yield stack
