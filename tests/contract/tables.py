"""The tables as the data stack makes them (a test in tests/infrastructure compares the keys)."""

from __future__ import annotations

from typing import Any

ANNOUNCEMENTS_KEYS = (("pk", "HASH"),)
FEATURES_KEYS = (("pk", "HASH"),)
IDEMPOTENCY_KEYS = (("pk", "HASH"),)
REGISTRY_KEYS = (("pk", "HASH"), ("sk", "RANGE"))
ROLLUP_KEYS = (("pk", "HASH"), ("sk", "RANGE"))


def create_announcements_table(client: Any, name: str) -> None:
    _create(client, name, ANNOUNCEMENTS_KEYS)


def create_features_table(client: Any, name: str) -> None:
    _create(client, name, FEATURES_KEYS)


def create_idempotency_table(client: Any, name: str) -> None:
    _create(client, name, IDEMPOTENCY_KEYS)


def create_registry_table(client: Any, name: str) -> None:
    _create(client, name, REGISTRY_KEYS)


def create_rollup_table(client: Any, name: str) -> None:
    _create(client, name, ROLLUP_KEYS)


def _create(client: Any, name: str, keys: tuple[tuple[str, str], ...]) -> None:
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
    )


def no_pause(_: int, __: float = 0) -> None:
    """Retries in tests need not wait."""
