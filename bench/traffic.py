"""What callers send and what the feature store holds, made from vectors: the same for every contestant."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from bench.model import GROUPS, BenchModel
from quicksilver.contract import ENTITY_KEY, Feature, FeatureType, Source
from quicksilver.ports import FeatureKey, FeatureRow


@dataclass(frozen=True)
class Call:
    """One request: the body that a caller posts, and the proxy event that API Gateway makes of it.

    ``whole_body`` is the body for who reads no features: all of them are in it.
    """

    body: str
    event: dict[str, Any]
    whole_body: str

    def score_only(self) -> Call:
        """The same request by a caller who wants no reasons."""
        query = {"reasons": "none"}
        multi = {name: [value] for name, value in query.items()}
        return Call(
            self.body,
            {**self.event, "queryStringParameters": query, "multiValueQueryStringParameters": multi},
            self.whole_body,
        )


def calls(model: BenchModel) -> list[Call]:
    """One request for each vector."""
    return [_call(model, row, vector) for row, vector in enumerate(model.vectors)]


def feature_rows(model: BenchModel, now_ms: int) -> list[FeatureRow]:
    """The online part of each vector, a row for each group."""
    return [
        FeatureRow(FeatureKey(group, _key(field, row)), now_ms, _values(model, vector, group))
        for row, vector in enumerate(model.vectors)
        for group, field in GROUPS.items()
    ]


def _call(model: BenchModel, row: int, vector: list[float]) -> Call:
    keys = {field: _key(field, row) for field in GROUPS.values() if field != ENTITY_KEY}
    content = {ENTITY_KEY: _key(ENTITY_KEY, row), "keys": keys, "features": _values(model, vector, None)}
    body = json.dumps(content)
    whole = _values(model, vector, None)
    for group in GROUPS:
        whole |= _values(model, vector, group)
    path = f"/v1/{model.contract.endpoint}/score"
    headers = {
        "Accept": "application/json", "Content-Type": "application/json", "Host": "example.invalid",
        "X-Amz-Date": "20261123T100000Z", "X-Amzn-Trace-Id": "Root=1-00000000-000000000000000000000000",
        "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https",
    }  # fmt: skip
    # events/score_card_fraud.json shows the shape.
    event = {
        "resource": path, "path": path, "httpMethod": "POST", "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None, "multiValueQueryStringParameters": None,
        "pathParameters": None, "stageVariables": None,
        "requestContext": {
            "accountId": "000000000000", "apiId": "bench", "httpMethod": "POST", "path": path,
            "identity": {"sourceIp": "127.0.0.1", "userAgent": "bench", "caller": "AIDA0000000000000000"},
            "protocol": "HTTP/1.1", "requestId": f"bench-{row:06d}", "requestTimeEpoch": 1_795_420_800_000,
            "resourcePath": path, "stage": "v",
        },
        "body": body, "isBase64Encoded": False,
    }  # fmt: skip
    return Call(body, event, json.dumps({**content, "features": whole}))


def _key(field: str, row: int) -> str:
    return f"{field.removesuffix('_id')}_{row:06d}"


def _values(model: BenchModel, vector: list[float], group: str | None) -> dict[str, Any]:
    """Raw values as callers and the store give them; what is missing is left out."""
    wanted = Source.ONLINE if group else Source.REQUEST
    return {
        feature.name: _raw(feature, value)
        for feature, value in zip(model.contract.features, vector, strict=True)
        if feature.source is wanted and feature.group == group and not math.isnan(value)
    }


def _raw(feature: Feature, value: float) -> bool | int | float | str:
    if feature.type is FeatureType.CATEGORY:
        return feature.categories[int(value)]
    if feature.type is FeatureType.BOOLEAN:
        return bool(value)
    return int(value) if feature.type is FeatureType.INTEGER else value
