"""A registry of 10,000 model versions: listed in pages, and "who answered then?" is one query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from tests.contract.tables import create_registry_table
from tests.contract.test_registry_store import ENDPOINT, model_version, moment, route

MODELS = 10_000
ROUTES = 1_000


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in (
            ("ACCESS_KEY_ID", "x"),
            ("SECRET_ACCESS_KEY", "x"),
            ("DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(f"AWS_{name}", value)
        client = boto3.client("dynamodb")
        create_registry_table(client, "registry")
        # Written as the store writes them, in bulk: committed one by one they would take minutes.
        store = DynamoDBRegistryStore(client, "registry")
        items = [
            store._put(ENDPOINT, f"MODEL#{n:08d}", model_version(n))["Item"] for n in range(1, MODELS + 1)
        ]
        for number in range(1, ROUTES + 1):
            since = f"SINCE#{moment(number)}#{number:08d}"
            items.append(store._put(ENDPOINT, since, route(number))["Item"])
        for start in range(0, len(items), 25):
            batch = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
            client.batch_write_item(RequestItems={"registry": batch})
        yield client


class Counting:
    """A client that counts its queries."""

    def __init__(self, client: Any) -> None:
        self._client, self.queries = client, 0

    def query(self, **arguments: Any) -> Any:
        self.queries += 1
        return self._client.query(**arguments)


def test_ten_thousand_model_versions_come_in_pages_and_none_is_missed(client: Any) -> None:
    store = DynamoDBRegistryStore(client, "registry")
    numbers: list[int] = []
    while page := store.model_versions(ENDPOINT, after=numbers[-1] if numbers else 0, limit=100):
        assert len(page) == 100
        numbers += [model.number for model in page]
    assert numbers == list(range(1, MODELS + 1))


@pytest.mark.parametrize("number", [1, 500, ROUTES])
def test_who_answered_then_is_one_query_whatever_the_number_of_routes(client: Any, number: int) -> None:
    counting = Counting(client)
    found = DynamoDBRegistryStore(counting, "registry").route_at(ENDPOINT, moment(number))
    assert found is not None
    assert (found.number, counting.queries) == (number, 1)
