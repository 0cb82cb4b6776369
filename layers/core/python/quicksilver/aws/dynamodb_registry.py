"""The registry in DynamoDB: one table, every write a conditional transaction.

::

    pk = ENDPOINT#card-fraud
    sk = MODEL#00000012        a model version
         PACKAGE#<sha256>      which number those bytes have
         MODELS                the highest number given            (moves with each MODEL)
         ROUTE#00000003        a route, never changed
         ROUTE                 which route is current              (moves with each ROUTE#)

Two writers that read the same highest number both try to move it on: the condition on the pointer
lets one of them through, and the other gets ``Conflict``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ValidationError

from quicksilver.errors import Conflict, Unavailable
from quicksilver.model_version import ModelVersion
from quicksilver.routing import Route

Document = TypeVar("Document", bound=BaseModel)


class DynamoDBRegistryStore:
    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def add_model_version(self, model_version: ModelVersion) -> None:
        pk = _pk(model_version.endpoint)
        number = model_version.number
        self._transact(
            self._put_new(pk, f"MODEL#{number:08d}", document=model_version.model_dump_json()),
            self._put_new(pk, f"PACKAGE#{model_version.package_sha256}", number=number),
            self._move_pointer(pk, "MODELS", number),
            lost=f"{model_version.name} or its package is registered already.",
        )

    def model_version(self, endpoint: str, number: int) -> ModelVersion | None:
        item = self._get(endpoint, f"MODEL#{number:08d}")
        return _read(ModelVersion, item["document"]["S"]) if item else None

    def model_version_of_package(self, endpoint: str, package_sha256: str) -> ModelVersion | None:
        item = self._get(endpoint, f"PACKAGE#{package_sha256}")
        return self.model_version(endpoint, int(item["number"]["N"])) if item else None

    def latest_model_number(self, endpoint: str) -> int:
        item = self._get(endpoint, "MODELS")
        return int(item["number"]["N"]) if item else 0

    def model_versions(self, endpoint: str) -> Iterable[ModelVersion]:
        return (_read(ModelVersion, text) for text in self._documents(endpoint, "MODEL#"))

    def add_route(self, route: Route) -> None:
        pk = _pk(route.endpoint)
        self._transact(
            self._put_new(pk, f"ROUTE#{route.number:08d}", document=route.model_dump_json()),
            self._move_pointer(pk, "ROUTE", route.number, document=route.model_dump_json()),
            lost=f"The route of {route.endpoint} has changed since it was read.",
        )

    def current_route(self, endpoint: str) -> Route | None:
        item = self._get(endpoint, "ROUTE")
        return _read(Route, item["document"]["S"]) if item else None

    def routes(self, endpoint: str) -> Iterable[Route]:
        return (_read(Route, text) for text in self._documents(endpoint, "ROUTE#"))

    # -- the four calls everything above is made of --

    def _get(self, endpoint: str, sk: str) -> Mapping[str, Any] | None:
        key = {"pk": {"S": _pk(endpoint)}, "sk": {"S": sk}}
        response = _available(
            lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        )
        item: Mapping[str, Any] | None = response.get("Item")
        return item

    def _documents(self, endpoint: str, prefix: str) -> Iterator[str]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
            "ExpressionAttributeValues": {":pk": {"S": _pk(endpoint)}, ":prefix": {"S": prefix}},
            "ConsistentRead": True,
        }
        while True:
            page = _available(lambda: self._client.query(**query))
            yield from (item["document"]["S"] for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _put_new(self, pk: str, sk: str, **attributes: str | int) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": {"pk": {"S": pk}, "sk": {"S": sk}, **_attributes(attributes)},
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }

    def _move_pointer(self, pk: str, sk: str, number: int, **attributes: str | int) -> dict[str, Any]:
        nobody_was_faster = "#n = :previous" if number > 1 else "attribute_not_exists(pk)"
        return {
            "Put": {
                "TableName": self._table,
                "Item": {"pk": {"S": pk}, "sk": {"S": sk}, **_attributes({"number": number, **attributes})},
                "ConditionExpression": nobody_was_faster,
                **(
                    {
                        "ExpressionAttributeNames": {"#n": "number"},
                        "ExpressionAttributeValues": {":previous": {"N": str(number - 1)}},
                    }
                    if number > 1
                    else {}
                ),
            }
        }

    def _transact(self, *writes: dict[str, Any], lost: str) -> None:
        try:
            self._client.transact_write_items(TransactItems=list(writes))
        except self._client.exceptions.TransactionCanceledException as error:
            reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", ())}
            # TransactionConflict: another transaction holds one of the items this moment.
            if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                raise Conflict(lost) from None
            raise Unavailable("The registry did not take the change; nothing was written.") from error
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The registry cannot be reached: {type(error).__name__}.") from error


def _pk(endpoint: str) -> str:
    return f"ENDPOINT#{endpoint}"


def _attributes(values: Mapping[str, str | int]) -> dict[str, Any]:
    return {name: {"N": str(v)} if isinstance(v, int) else {"S": v} for name, v in values.items()}


def _read(kind: type[Document], text: str) -> Document:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise Unavailable(f"The registry holds a {kind.__name__} that cannot be read.") from error


def _available(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"The registry cannot be reached: {type(error).__name__}.") from error
