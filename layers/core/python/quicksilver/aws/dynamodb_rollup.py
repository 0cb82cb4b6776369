"""The rollup in DynamoDB: an item for each lane, written on the condition that nobody has written it since.

::

    pk = LANE#card-fraud#3   sk = 2026-11-26T13:45:00.000Z            version, counts (JSON), recent, paged
    pk = SEEN#card-fraud#3   sk = 2026-11-26T13:45:00.000Z#00000012   ids: what was recent in version 12

``recent`` and ``ids`` are identities in a row, ten bytes each. Readers of the counts query the lanes alone: pages lie
under keys of their own. ``expires_at`` (epoch s) is when DynamoDB may clear an item away.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import Conflict, Unavailable
from quicksilver.instants import utc_iso
from quicksilver.rollup_counts import LANES, ArmCounts, ArmKey, Lane, LaneKey, Period, periods
from quicksilver.routing import Role

Read = TypeVar("Read")

_IDENTITY_BYTES = 10


class DynamoDBRollupStore:
    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def periods(self, endpoint: str, *, since_ms: int, until_ms: int) -> list[Period]:
        if since_ms >= until_ms:
            return []
        return periods(
            _readable(lambda item: (int(item["start_ms"]["N"]), _arms(item["counts"]["S"])), item)
            for lane in range(LANES)
            for item in self._query(
                f"LANE#{endpoint}#{lane}", utc_iso(since_ms), utc_iso(until_ms - 1), "start_ms, #counts"
            )
        )

    def lane(self, key: LaneKey) -> Lane:
        response = _available(
            lambda: self._client.get_item(TableName=self._table, Key=_lane_key(key), ConsistentRead=True)
        )
        item = response.get("Item")
        return _readable(lambda item: _lane(key, item), item) if item else Lane(key)

    def paged(self, key: LaneKey) -> frozenset[bytes]:
        start = utc_iso(key.start_ms)
        pages = self._query(f"SEEN#{key.endpoint}#{key.lane}", f"{start}#", f"{start}#~", "ids")
        return frozenset().union(
            *(_readable(lambda item: _identities(item["ids"]["B"]), item) for item in pages)
        )

    def put_page(self, lane: Lane) -> None:
        key = lane.key
        item = {
            "pk": {"S": f"SEEN#{key.endpoint}#{key.lane}"},
            "sk": {"S": f"{utc_iso(key.start_ms)}#{lane.version:08d}"},
            "ids": {"B": b"".join(sorted(lane.recent))},
            "expires_at": {"N": str(lane.expires_s)},
        }
        _available(lambda: self._client.put_item(TableName=self._table, Item=item))

    def put_lane(self, lane: Lane) -> None:
        item = {
            **_lane_key(lane.key),
            "start_ms": {"N": str(lane.key.start_ms)},
            "version": {"N": str(lane.version)},
            "counts": {"S": _counts(lane.arms)},
            "recent": {"B": b"".join(sorted(lane.recent))},
            "paged": {"N": str(lane.paged)},
            "expires_at": {"N": str(lane.expires_s)},
        }
        nobody_has_written_it: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if lane.version > 1:
            nobody_has_written_it = {
                "ConditionExpression": "#version = :before",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": {":before": {"N": str(lane.version - 1)}},
            }
        _available(
            lambda: self._client.put_item(TableName=self._table, Item=item, **nobody_has_written_it),
            lost=f"Somebody else has written a lane of {lane.key.endpoint}.",
        )

    def _query(self, pk: str, low: str, high: str, projection: str) -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :low AND :high",
            "ExpressionAttributeValues": {":pk": {"S": pk}, ":low": {"S": low}, ":high": {"S": high}},
            "ProjectionExpression": projection,
            "ConsistentRead": True,
        }
        if "#counts" in projection:  # a word that DynamoDB keeps for itself
            query["ExpressionAttributeNames"] = {"#counts": "counts"}
        while True:
            page = _available(lambda: self._client.query(**query))
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _lane_key(key: LaneKey) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"LANE#{key.endpoint}#{key.lane}"}, "sk": {"S": utc_iso(key.start_ms)}}


def _lane(key: LaneKey, item: Mapping[str, Any]) -> Lane:
    return Lane(
        key,
        version=int(item["version"]["N"]),
        arms=_arms(item["counts"]["S"]),
        recent=_identities(item["recent"]["B"]),
        paged=int(item["paged"]["N"]),
        expires_s=int(item["expires_at"]["N"]),
    )


def _identities(row: bytes) -> frozenset[bytes]:
    return frozenset(row[at : at + _IDENTITY_BYTES] for at in range(0, len(row), _IDENTITY_BYTES))


def _counts(arms: Mapping[ArmKey, ArmCounts]) -> str:
    """JSON, an object for each arm; of a histogram only the bins that are not empty."""
    return json.dumps(
        [
            {
                **key._asdict(),
                **asdict(counts),
                "latency": _filled(counts.latency),
                "scores": _filled(counts.scores),
            }
            for key, counts in sorted(arms.items())
        ],
        separators=(",", ":"),
    )


def _filled(histogram: tuple[int, ...]) -> dict[int, int]:
    return {number: count for number, count in enumerate(histogram) if count}


def _arms(text: str) -> dict[ArmKey, ArmCounts]:
    arms = {}
    for content in json.loads(text):
        key = ArmKey(content.pop("model"), Role(content.pop("role")), content.pop("holdout"))
        latency, scores = content.pop("latency"), content.pop("scores")
        blank = ArmCounts()
        arms[key] = ArmCounts(
            **content, latency=_histogram(latency, blank.latency), scores=_histogram(scores, blank.scores)
        )
    return arms


def _histogram(filled: Mapping[str, int], blank: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(filled.get(str(number), 0) for number in range(len(blank)))


def _readable(read: Callable[[Mapping[str, Any]], Read], item: Mapping[str, Any]) -> Read:
    try:
        return read(item)
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("The rollup's table holds an item that cannot be read.") from error


def _available(call: Callable[[], Any], lost: str = "") -> Any:
    try:
        return call()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code == "ConditionalCheckFailedException":
            raise Conflict(lost) from None
        raise Unavailable(f"The rollup's table refuses: {code}.") from error
    except BotoCoreError as error:
        raise Unavailable(f"The rollup's table cannot be reached: {type(error).__name__}.") from error
