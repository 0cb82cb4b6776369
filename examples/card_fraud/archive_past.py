"""Puts the simulated past where the stream, and whoever knows the outcomes, would have put it; and takes away an earlier one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.past import PAST_DAYS, World, outcomes, score_past
from examples.card_fraud.population import DAY_MS
from quicksilver.archive import PREDICTIONS_PREFIX
from quicksilver.aws.clients import PARALLEL
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.errors import Unavailable
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.local import checkout
from quicksilver.memory import ManualClock, MemoryMetrics
from quicksilver.monitoring import MONITORING_PREFIX
from quicksilver.prediction import PredictionRecord
from quicksilver.retraining.workspace import TRAINING_PREFIX
from quicksilver.serving import Serving

NAME = "past.jsonl"
WRITERS = 8
DELETED_AT_ONCE = 1_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Archived:
    """How many predictions were put into the archive, and how many of them became frauds."""

    predictions: int
    frauds: int


def archive_past(stage: DeployedStage, world: World, say: Say) -> Archived:
    """Put the world's past into a stage's archive, answered by its champion, with all outcomes.

    What an earlier run has put there goes first, with all that the monitoring made of it: the past ends at the last midnight,
    so on another day it would lie beside the one of today.
    """
    say("taking an earlier one away")
    _forget(stage)
    say("scoring")
    records = list(_score(stage, world))
    say("writing")
    _write(stage, records)
    say("loading outcomes")
    ids = dict(zip(world.past.tolist(), (record.prediction_id for record in records), strict=True))
    labels = list(outcomes(world, ids))
    file = checkout() / "build" / "card-fraud-outcomes.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{label.model_dump_json(exclude_none=True)}\n" for label in labels))
    _load(file)
    return Archived(len(records), sum(label.label for label in labels))


def _score(stage: DeployedStage, world: World) -> Iterator[PredictionRecord]:
    clock = ManualClock(world.end_ms - PAST_DAYS * DAY_MS)
    # The route is read once, and holds for the whole past.
    longer = 2 * PAST_DAYS * DAY_MS // 1_000
    serving = Serving(
        ENDPOINT,
        registry=DynamoDBRegistryStore(stage.client("dynamodb"), stage.outputs["RegistryTable"]),
        artifacts=stage.artifacts,
        load=LightGBMEvaluator,
        signer=KmsSigner(stage.client("kms"), stage.outputs["SigningKey"]),
        clock=clock,
        metrics=MemoryMetrics(),
        refresh_seconds=longer,
        max_age_seconds=longer,
    )
    return score_past(world, serving, clock, stage.stage)


def _write(stage: DeployedStage, records: Iterable[PredictionRecord]) -> None:
    """One object for each hour, in the folder where Firehose would have it."""
    hours: dict[str, list[bytes]] = defaultdict(list)
    for record in records:
        hours[record.time[:13]].append(record.to_entry().data)
    client, bucket = stage.client("s3", PARALLEL), stage.outputs["ArchiveBucket"]

    def put(hour: str) -> None:
        folder = hour.replace("-", "/").replace("T", "/")
        key = f"{PREDICTIONS_PREFIX}{ENDPOINT}/{folder}/{NAME}"
        client.put_object(Bucket=bucket, Key=key, Body=b"".join(hours[hour]))

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(put, hours))


def _load(file: Path) -> None:
    """The outcomes, by the product's own command."""
    command = [
        str(Path(sys.prefix, "bin", "quicksilver")), "outcomes", "load", str(file), "--endpoint", ENDPOINT, "--yes", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"The outcomes were not loaded: {done.stderr.strip()}")
    json.loads(done.stdout)


def _forget(stage: DeployedStage) -> None:
    client, bucket = stage.client("s3", PARALLEL), stage.outputs["ArchiveBucket"]
    found = [
        *(
            key
            for key in _keys(client, bucket, f"{PREDICTIONS_PREFIX}{ENDPOINT}/")
            if key.endswith(f"/{NAME}")
        ),
        *(key for key in _keys(client, bucket, MONITORING_PREFIX) if f"/{ENDPOINT}/" in key),
        *_keys(client, bucket, f"{TRAINING_PREFIX}{ENDPOINT}/"),
    ]
    for start in range(0, len(found), DELETED_AT_ONCE):
        some = [{"Key": key} for key in found[start : start + DELETED_AT_ONCE]]
        client.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})


def _keys(client: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (item["Key"] for item in page.get("Contents", ()))
