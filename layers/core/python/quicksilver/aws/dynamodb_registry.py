"""The registry in DynamoDB: one table, and every change one transaction on its endpoint's head.

::

    pk = ENDPOINT#card-fraud
    sk = HEAD                    how far history, model versions and routes go; every change moves it on
         HISTORY#0000000042      an entry of the history, never changed
         MODEL#00000012          a model version
         PACKAGE#<sha256>        which number those bytes have, never changed
         ROUTE                   the current route, for the score function's one read
         ROUTE#00000003          each route, never changed
         SINCE#<time>#00000003   the same by the moment from which it was current, for "who answered then?"

Two writers that have read the same head both try to move it on: its condition lets one of them through,
and the other gets ``Conflict`` with nothing written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ValidationError

from quicksilver.errors import Conflict, Unavailable
from quicksilver.history import Entry, Head
from quicksilver.model_version import ModelVersion
from quicksilver.ports import Change
from quicksilver.routing import Route

Document = TypeVar("Document", bound=BaseModel)


class DynamoDBRegistryStore:
    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def head(self, endpoint: str) -> Head:
        return self._get(endpoint, "HEAD", Head) or Head(endpoint=endpoint)

    def commit(self, change: Change) -> None:
        endpoint = change.head.endpoint
        writes = [
            self._move_head(change.expected, change.head),
            self._put_new(endpoint, f"HISTORY#{change.entry.number:010d}", change.entry),
        ]
        if model := change.model_version:
            writes.append(self._put(endpoint, f"MODEL#{model.number:08d}", model))
            if change.head.models != change.expected.models:
                writes.append(self._put_new(endpoint, f"PACKAGE#{model.package_sha256}", model))
        if route := change.route:
            writes.append(self._put(endpoint, "ROUTE", route))
            writes.append(self._put_new(endpoint, f"ROUTE#{route.number:08d}", route))
            writes.append(self._put_new(endpoint, f"SINCE#{route.created_at}#{route.number:08d}", route))
        self._transact(writes, lost=f"The registry of {endpoint} has changed since it was read.")

    def model_version(self, endpoint: str, number: int) -> ModelVersion | None:
        return self._get(endpoint, f"MODEL#{number:08d}", ModelVersion)

    def model_version_of_package(self, endpoint: str, package_sha256: str) -> ModelVersion | None:
        known = self._get(endpoint, f"PACKAGE#{package_sha256}", ModelVersion)
        return self.model_version(endpoint, known.number) if known else None

    def model_versions(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[ModelVersion]:
        return self._page(endpoint, "MODEL#", f"{after:08d}", limit, ModelVersion)

    def current_route(self, endpoint: str, *, seconds: float | None = None) -> Route | None:
        if seconds is not None and seconds <= 0:
            raise Unavailable("The registry was not asked: there is no time left.")
        return self._get(endpoint, "ROUTE", Route, seconds)

    def route(self, endpoint: str, number: int) -> Route | None:
        return self._get(endpoint, f"ROUTE#{number:08d}", Route)

    def route_at(self, endpoint: str, time: str) -> Route | None:
        # "~" sorts after every digit: the range ends with the last route of that millisecond.
        found = self._query(endpoint, "SINCE#", f"SINCE#{time}#~", limit=1, forward=False, kind=Route)
        return found[0] if found else None

    def routes(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[Route]:
        return self._page(endpoint, "ROUTE#", f"{after:08d}", limit, Route)

    def history(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[Entry]:
        return self._page(endpoint, "HISTORY#", f"{after:010d}", limit, Entry)

    # -- the calls that everything above is made of --

    def _get(
        self, endpoint: str, sk: str, kind: type[Document], seconds: float | None = None
    ) -> Document | None:
        key = {"pk": {"S": _pk(endpoint)}, "sk": {"S": sk}}
        # Only the clients of the hot path can be bounded; another's own limits hold.
        bounded = getattr(self._client, "bounded", None)
        client = bounded(seconds) if bounded and seconds is not None else self._client
        response = _available(lambda: client.get_item(TableName=self._table, Key=key, ConsistentRead=True))
        item = response.get("Item")
        return _read(kind, item) if item else None

    def _page(
        self, endpoint: str, prefix: str, after: str, limit: int, kind: type[Document]
    ) -> Sequence[Document]:
        # "!" sorts before every digit: the page begins right behind ``after``.
        return self._query(endpoint, f"{prefix}{after}!", f"{prefix}~", limit=limit, forward=True, kind=kind)

    def _query(
        self, endpoint: str, low: str, high: str, *, limit: int, forward: bool, kind: type[Document]
    ) -> Sequence[Document]:
        found: list[Document] = []
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :low AND :high",
            "ExpressionAttributeValues": {
                ":pk": {"S": _pk(endpoint)},
                ":low": {"S": low},
                ":high": {"S": high},
            },
            "ScanIndexForward": forward,
            "ConsistentRead": True,
        }
        while len(found) < limit:
            query["Limit"] = limit - len(found)
            page = _available(lambda: self._client.query(**query))
            found += [_read(kind, item) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return found

    def _put(self, endpoint: str, sk: str, document: BaseModel) -> dict[str, Any]:
        item = {
            "pk": {"S": _pk(endpoint)},
            "sk": {"S": sk},
            "document": {"S": document.model_dump_json()},
        }
        return {"TableName": self._table, "Item": item}

    def _put_new(self, endpoint: str, sk: str, document: BaseModel) -> dict[str, Any]:
        return {
            **self._put(endpoint, sk, document),
            "ConditionExpression": "attribute_not_exists(pk)",
        }

    def _move_head(self, expected: Head, head: Head) -> dict[str, Any]:
        put = self._put(head.endpoint, "HEAD", head)
        put["Item"]["chain"] = {"S": head.sha256}
        if not expected.history:
            return {**put, "ConditionExpression": "attribute_not_exists(pk)"}
        return {
            **put,
            "ConditionExpression": "#chain = :expected",
            "ExpressionAttributeNames": {"#chain": "chain"},
            "ExpressionAttributeValues": {":expected": {"S": expected.sha256}},
        }

    def _transact(self, puts: Sequence[dict[str, Any]], *, lost: str) -> None:
        try:
            self._client.transact_write_items(TransactItems=[{"Put": put} for put in puts])
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


def _read(kind: type[Document], item: Mapping[str, Any]) -> Document:
    try:
        return kind.model_validate_json(item["document"]["S"])
    except (ValidationError, KeyError) as error:
        raise Unavailable(f"The registry holds a {kind.__name__} that cannot be read.") from error


def _available(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"The registry cannot be reached: {type(error).__name__}.") from error
