"""What tests of shadows need: a prediction stream's batches, and packages whose contracts differ."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quicksilver.contract import Contract
from tests.conftest import contract_content, train

if TYPE_CHECKING:
    from quicksilver.package import Package

SHARD = "shardId-000000000000"
ARRIVED_MS = 1_795_683_600_000
"""2026-11-26T09:00:00Z"""


def kinesis_event(records: Sequence[bytes], first: int = 1) -> dict[str, Any]:
    """What Lambda hands over of these records, as saved in ``events/``."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": f"card_{number}",
                    "sequenceNumber": f"4954{number:052}",
                    "data": base64.b64encode(data).decode(),
                    "approximateArrivalTimestamp": ARRIVED_MS / 1_000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{SHARD}:4954{number:052}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::000000000000:role/quicksilver-local-shadow",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/predictions",
            }
            for number, data in enumerate(records, first)
        ]
    }


def reordered_package() -> Package:
    """A package for the tests' endpoint whose contract has other category codes and another default."""
    content = contract_content()
    content["features"][1]["categories"] = ["atm", "pos", "online"]
    content["features"][2]["default"] = True
    return train(Contract.model_validate(content), seed=9).pack()


def demanding_package() -> Package:
    """A package whose contract has a feature that the tests' usual one does not have."""
    content = contract_content()
    content["features"][5]["name"] = "merchant_age_days"
    return train(Contract.model_validate(content), seed=10).pack()


def train_on_fewer(contract: Contract) -> Package:
    """A package for a contract with any features, trained on noise."""
    import lightgbm
    import numpy as np

    from quicksilver.packing import pack

    rng = np.random.default_rng(11)
    sizes = [len(feature.categories) or 2 for feature in contract.features]
    vectors = np.column_stack([rng.integers(0, size, 600) for size in sizes]).astype(float)
    target = (vectors[:, 0] + rng.normal(size=600) > 0.5).astype(np.int64)
    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 4, "verbose": -1, "num_threads": 1, "seed": 11},
        lightgbm.Dataset(vectors, target, feature_name=list(contract.names), categorical_feature=["channel"]),
        num_boost_round=5,
    )
    return pack(booster, contract, reference=vectors, target=target, golden=20, metrics={"auc": 0.7})
