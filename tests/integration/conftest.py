"""The local stage with a small champion on ``card-fraud`` and the features it reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.errors import NotFound
from quicksilver.ports import FeatureKey, FeatureRow

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.local_stack import LocalStack


@pytest.fixture
def stack(local_stack: LocalStack, package: Package, feature_rows: None) -> LocalStack:
    """The local stage with the small model as champion, whatever another ring made of it before."""
    try:
        champion = local_stack.registry.current_route("card-fraud").champion.package_sha256
    except NotFound:
        champion = None
    if champion != package.sha256:
        local_stack.put_champion(package)
    return local_stack


@pytest.fixture(scope="session")
def feature_rows(local_stack: LocalStack) -> None:
    now_ms = time.time_ns() // 1_000_000
    local_stack.features.write(
        [
            FeatureRow(FeatureKey("card", "card_1"), now_ms, {"txn_count_1h": 3, "amount_mean_7d": 55.5}),
            FeatureRow(FeatureKey("merchant", "m_1"), now_ms, {"merchant_risk": 0.07}),
        ]
    )


@pytest.fixture
def request_body() -> dict[str, Any]:
    return {
        "entity_id": "card_1",
        "keys": {"merchant_id": "m_1"},
        "features": {"amount": 812.5, "channel": "online", "cross_border": True},
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/integration" in str(item.path):
            item.add_marker(pytest.mark.integration)
