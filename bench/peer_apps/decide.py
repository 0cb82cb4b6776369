"""The decision itself, as a competent team would write it around ``lightgbm`` and ``boto3``.

Shared by the HTTP peers, so that they differ by their framework only: each validates with pydantic, calls
``decide`` and hands the record to ``log``. It imports nothing of Quicksilver, and reads the contract as the plain
JSON it is. Choices in its favour: one client per service with kept connections, one read for all groups, no
DataFrame, one thread in LightGBM, the record sent after the answer.

With ``PEER_BARE=1`` it is spared the two calls to AWS: the caller sends all 40 features, and the log is a line.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
import uuid
from typing import Any, Literal, NamedTuple

import boto3
import lightgbm
import numpy as np
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, create_model

logger = logging.getLogger("decisions")
TYPES = {"number": float, "integer": int, "boolean": bool}


class Settings(NamedTuple):
    model: str = os.environ["PEER_MODEL"]
    contract: str = os.environ["PEER_CONTRACT"]
    table: str = os.environ["PEER_TABLE"]
    stream: str = os.environ["PEER_STREAM"]
    bare: bool = os.environ.get("PEER_BARE") == "1"


class Reason(BaseModel):
    code: str
    feature: str
    text: str
    contribution: float


class Decision(BaseModel):
    prediction_id: str
    entity_id: str
    score: float
    reasons: list[Reason]
    model: str


def request_model(contract: dict[str, Any], *, bare: bool) -> type[BaseModel]:
    """The body: every feature that the caller sends, with its type, optional as the contract says."""
    fields: dict[str, Any] = {}
    for feature in contract["features"]:
        if bare or feature["source"] == "request":
            categories = tuple(feature.get("categories", ()))
            kind = Literal[categories] if categories else TYPES[feature["type"]]  # type: ignore[valid-type]
            fields[feature["name"]] = (kind | None, None)
    strict = ConfigDict(extra="forbid")
    features = create_model("Features", __config__=strict, **fields)
    return create_model(
        "ScoreRequest",
        __config__=strict,
        entity_id=(str, ...),
        keys=(dict[str, str], ...),
        features=(features, ...),
    )


class Decider:
    """Everything a decision needs, made once at start."""

    def __init__(self) -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        self.settings = Settings()
        with open(self.settings.contract) as file:
            self.contract = json.load(file)
        self.request_model = request_model(self.contract, bare=self.settings.bare)
        self.features = self.contract["features"]
        self.top_reasons = self.contract["top_reasons"]
        self.codes = {
            feature["name"]: {category: float(code) for code, category in enumerate(feature["categories"])}
            for feature in self.features
            if feature.get("categories")
        }
        self.online = [feature["name"] for feature in self.features if feature["source"] == "online"]
        aliases = {f"#{place}": name for place, name in enumerate(self.online)}
        self.projection = {
            "ProjectionExpression": "pk, as_of, " + ", ".join(aliases),
            "ExpressionAttributeNames": aliases,
        }
        self.booster = lightgbm.Booster(model_file=self.settings.model)
        limits = Config(
            connect_timeout=0.3, read_timeout=0.7, retries={"total_max_attempts": 2}, tcp_keepalive=True
        )
        self.dynamodb = boto3.client("dynamodb", config=limits)
        self.kinesis = boto3.client("kinesis", config=limits)

    def decide(self, request: Any, explain: bool) -> tuple[Decision, dict[str, Any]]:
        """The answer, and the record of it for the log."""
        given = request.features.model_dump(exclude_none=True)
        if not self.settings.bare:
            given.update(self._read(request))
        row = np.array([[self._encode(feature["name"], given) for feature in self.features]])
        raw_score = float(self.booster.predict(row, raw_score=True, num_threads=1)[0])
        contributions: list[float] = []
        if explain:
            # What shap.TreeExplainer calls for a LightGBM model, without its wrapping.
            contributions = self.booster.predict(row, pred_contrib=True, num_threads=1)[0].tolist()
        decision = Decision(
            prediction_id=str(uuid.uuid4()),
            entity_id=request.entity_id,
            score=1 / (1 + math.exp(-raw_score)),
            reasons=self._reasons(contributions[:-1]),
            model="bench@1",
        )
        record = {
            **decision.model_dump(),
            "time_ms": time.time_ns() // 1_000_000,
            "raw_score": raw_score,
            "vector": [None if math.isnan(value) else value for value in row[0].tolist()],
            "contributions": contributions,
            "keys": request.keys,
        }
        return decision, record

    def log(self, record: dict[str, Any]) -> None:
        """Put the record on the stream, and a line in the log. Called after the answer."""
        if not self.settings.bare:
            self.kinesis.put_record(
                StreamName=self.settings.stream,
                Data=json.dumps(record).encode(),
                PartitionKey=record["entity_id"],
            )
        line = {"level": "INFO", "message": "scored", "id": record["prediction_id"], "score": record["score"]}
        logger.info(json.dumps(line))

    def _read(self, request: Any) -> dict[str, Any]:
        keys = {"entity_id": request.entity_id, **request.keys}
        wanted = [{"pk": {"S": f"{group}#{keys[field]}"}} for group, field in self.contract["groups"].items()]
        table = self.settings.table
        found = self.dynamodb.batch_get_item(RequestItems={table: {"Keys": wanted, **self.projection}})
        values: dict[str, Any] = {}
        for item in found["Responses"][table]:
            for name, value in item.items():
                values[name] = float(value["N"]) if "N" in value else next(iter(value.values()))
        return values

    def _encode(self, name: str, given: dict[str, Any]) -> float:
        value = given.get(name)
        if value is None:
            return math.nan
        codes = self.codes.get(name)
        return codes.get(value, math.nan) if codes else float(value)

    def _reasons(self, contributions: list[float]) -> list[Reason]:
        adverse = sorted(
            ((value, place) for place, value in enumerate(contributions) if value > 0), reverse=True
        )
        return [
            Reason(
                code=self.features[place]["reason_code"],
                feature=self.features[place]["name"],
                text=self.features[place]["reason"],
                contribution=value,
            )
            for value, place in adverse[: self.top_reasons]
        ]
