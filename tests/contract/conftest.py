"""Every port in each of its implementations: in memory, on AWS as moto has it, and on the emulator over HTTP.

The last has two rings: boto3's clients and the lean ones. Moto replaces what botocore sends requests with, so
it has nothing to answer the lean clients with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from quicksilver.archive import OUTCOMES
from quicksilver.aws.announcer import AwsAnnouncer
from quicksilver.aws.dynamodb_announcement_cursor import DynamoDBAnnouncementCursor
from quicksilver.aws.dynamodb_features import DynamoDBFeatureStore
from quicksilver.aws.dynamodb_idempotency import DynamoDBIdempotencyStore
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.dynamodb_rollup import DynamoDBRollupStore
from quicksilver.aws.hot_clients import hot_client
from quicksilver.aws.kinesis_predictions import KinesisPredictionStream
from quicksilver.aws.s3_archive import S3Archive
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_contracts import S3ContractStore
from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.aws.s3_objects import S3ObjectStore
from quicksilver.aws.s3_outcomes import S3OutcomeStore
from quicksilver.aws.s3_undelivered import S3UndeliveredStore
from quicksilver.memory import (
    ManualClock,
    MemoryAnnouncementCursor,
    MemoryAnnouncer,
    MemoryArtifactStore,
    MemoryContractStore,
    MemoryFeatureStore,
    MemoryIdempotencyStore,
    MemoryMetrics,
    MemoryMonitoringStore,
    MemoryObjectStore,
    MemoryOutcomeStore,
    MemoryPredictionStream,
    MemoryRegistryStore,
    MemoryRollupStore,
    MemoryUndeliveredStore,
)
from quicksilver.monitoring import MonitoringStore
from quicksilver.ports import (
    AnnouncementCursor,
    Announcer,
    ArtifactStore,
    ContractStore,
    FeatureStore,
    IdempotencyStore,
    OutcomeStore,
    PredictionStream,
    RegistryStore,
    RollupStore,
    UndeliveredStore,
)
from quicksilver.retraining.workspace import ObjectStore
from tests.contract.tables import (
    create_announcements_table,
    create_features_table,
    create_idempotency_table,
    create_registry_table,
    create_rollup_table,
    no_pause,
)

RINGS = (
    "memory",
    "moto",
    pytest.param("emulator", marks=pytest.mark.integration),
    pytest.param("lean", marks=pytest.mark.integration),
)

MakeClient = Callable[[str], Any]


class LeanBesideBoto3:
    """A lean client, and boto3's for what the score function never does: create tables, write features, sign."""

    def __init__(self, lean: Any, boto3_client: Any) -> None:
        self._lean, self._boto3_client = lean, boto3_client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lean if hasattr(self._lean, name) else self._boto3_client, name)


@pytest.fixture(params=RINGS)
def make_client(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeClient | None]:
    """Makes clients of the ring's AWS; ``None`` is the ring in memory, which has none."""
    if request.param == "memory":
        yield None
    elif request.param == "emulator":
        yield request.getfixturevalue("local_stack").client
    elif request.param == "lean":
        stack = request.getfixturevalue("local_stack")

        def lean(service: str) -> LeanBesideBoto3:
            client = hot_client(service, 5, environment=stack.environment)
            assert not isinstance(client, BaseClient)
            return LeanBesideBoto3(client, stack.client(service))

        yield lean
    else:
        for name, value in (
            ("ACCESS_KEY_ID", "test"),
            ("SECRET_ACCESS_KEY", "test"),
            ("DEFAULT_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(f"AWS_{name}", value)
        answer, one_at_a_time = BotocoreStubber.__call__, threading.Lock()

        def in_turn(*arguments: Any, **more: Any) -> Any:
            with one_at_a_time:
                return answer(*arguments, **more)

        # moto copies its tables unlocked while other threads write, so a transaction is not whole there. AWS answers
        # each call as if it were alone; writers still race between their calls.
        monkeypatch.setattr(BotocoreStubber, "__call__", in_turn)
        with mock_aws():
            yield boto3.client


@pytest.fixture
def name() -> str:
    """A table's, bucket's or stream's name no other test has."""
    return f"contract-{uuid4()}"


@pytest.fixture
def announcement_cursor(make_client: MakeClient | None, name: str) -> AnnouncementCursor:
    if make_client is None:
        return MemoryAnnouncementCursor()
    client = make_client("dynamodb")
    create_announcements_table(client, name)
    return DynamoDBAnnouncementCursor(client, name)


@pytest.fixture
def announcer(make_client: MakeClient | None, name: str) -> Announcer:
    if make_client is None:
        return MemoryAnnouncer()
    sns = make_client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    return AwsAnnouncer(make_client("events"), "default", sns, topic)


@pytest.fixture
def feature_store(make_client: MakeClient | None, name: str) -> FeatureStore:
    if make_client is None:
        return MemoryFeatureStore()
    client = make_client("dynamodb")
    create_features_table(client, name)
    return DynamoDBFeatureStore(client, name, attempt_seconds=0.1, pause=no_pause, metrics=MemoryMetrics())


@pytest.fixture
def idempotency_store(make_client: MakeClient | None, name: str) -> IdempotencyStore:
    if make_client is None:
        return MemoryIdempotencyStore()
    client = make_client("dynamodb")
    create_idempotency_table(client, name)
    return DynamoDBIdempotencyStore(client, name, pause=no_pause)


@pytest.fixture
def registry_store(make_client: MakeClient | None, name: str) -> RegistryStore:
    if make_client is None:
        return MemoryRegistryStore()
    client = make_client("dynamodb")
    create_registry_table(client, name)
    return DynamoDBRegistryStore(client, name)


@pytest.fixture
def rollup_store(make_client: MakeClient | None, name: str) -> RollupStore:
    if make_client is None:
        return MemoryRollupStore()
    client = make_client("dynamodb")
    create_rollup_table(client, name)
    return DynamoDBRollupStore(client, name)


@pytest.fixture
def artifact_store(make_client: MakeClient | None, name: str) -> ArtifactStore:
    if make_client is None:
        return MemoryArtifactStore()
    client = make_client("s3")
    client.create_bucket(Bucket=name)
    return S3ArtifactStore(client, name)


@pytest.fixture
def monitoring_store(make_client: MakeClient | None, name: str) -> MonitoringStore:
    if make_client is None:
        return MemoryMonitoringStore()
    client = make_client("s3")
    client.create_bucket(Bucket=name)
    return S3MonitoringStore(client, name)


@pytest.fixture
def object_store(make_client: MakeClient | None, name: str) -> ObjectStore:
    if make_client is None:
        return MemoryObjectStore()
    client = make_client("s3")
    client.create_bucket(Bucket=name)
    return S3ObjectStore(client, name)


@pytest.fixture
def undelivered_store(make_client: MakeClient | None, name: str) -> UndeliveredStore:
    if make_client is None:
        return MemoryUndeliveredStore()
    client = make_client("s3")
    client.create_bucket(Bucket=name)
    return S3UndeliveredStore(client, name)


@pytest.fixture
def prediction_stream(make_client: MakeClient | None, name: str) -> PredictionStream:
    if make_client is None:
        return MemoryPredictionStream()
    client = make_client("kinesis")
    client.create_stream(StreamName=name, ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    return KinesisPredictionStream(client, name, no_pause)


@pytest.fixture
def contract_store(
    make_client: MakeClient | None, name: str
) -> tuple[ContractStore, Callable[[], dict[str, bytes]]]:
    """A store of contracts, and what is kept in it by fingerprint."""
    if make_client is None:
        memory = MemoryContractStore()
        return memory, lambda: memory.kept
    client = make_client("s3")
    client.create_bucket(Bucket=name)

    def kept() -> dict[str, bytes]:
        items = client.list_objects_v2(Bucket=name, Prefix="contracts/")["Contents"]
        return {
            item["Key"].removeprefix("contracts/").removesuffix(".jsonl"): client.get_object(
                Bucket=name, Key=item["Key"]
            )["Body"].read()
            for item in items
        }

    return S3ContractStore(client, name), kept


@pytest.fixture
def outcome_store(
    make_client: MakeClient | None, name: str
) -> tuple[OutcomeStore, Callable[[], list[bytes]]]:
    """A store of outcomes, and the lines that whoever reads the archive finds there."""
    if make_client is None:
        memory = MemoryOutcomeStore()
        return memory, lambda: [line for _, batch in memory.kept for line in batch.splitlines()]
    client = make_client("s3")
    client.create_bucket(Bucket=name)

    def lines() -> list[bytes]:
        return [line.rstrip() for line in S3Archive(client, name).lines(OUTCOMES)]

    return S3OutcomeStore(client, name, ManualClock()), lines
