"""The stub of AWS that benches run against: the product's own adapters find in it what they wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from bench.loopback_http import LoopbackServer
from bench.stub_aws import World
from quicksilver.aws.dynamodb_features import DynamoDBFeatureStore
from quicksilver.aws.kinesis_predictions import KinesisPredictionStream
from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.errors import NotFound
from quicksilver.memory import ManualClock, MemoryMetrics
from quicksilver.ports import Deadline, FeatureKey, FeatureRow, LogEntry


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def url(world: World) -> Iterator[str]:
    server = LoopbackServer(world.answer)
    server.start()
    yield f"http://{server.address}"
    server.stop()


def client(service: str, url: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


def test_feature_rows_come_back_by_key_with_the_features_asked_for(url: str) -> None:
    metrics = MemoryMetrics()
    store = DynamoDBFeatureStore(
        client("dynamodb", url), "features", attempt_seconds=1, pause=lambda _: None, metrics=metrics
    )
    key = FeatureKey("device", "d_1")
    store.write([FeatureRow(key, 5, {"age": 2.5, "system": "c01", "other": 1.0})])
    reading = store.read(
        [key, FeatureKey("device", "d_2")], ["age", "system"], Deadline.after_ms(ManualClock(), 500)
    )
    assert reading.rows == {key: FeatureRow(key, 5, {"age": 2.5, "system": "c01"})}
    assert metrics.counts == {}


def test_a_package_file_comes_back_and_an_absent_one_is_said_to_be(url: str) -> None:
    store = S3ArtifactStore(client("s3", url), "models")
    store.put("a" * 64, {"model.txt": b"tree", "manifest.json": b"{}"})
    assert store.get("a" * 64, "model.txt") == b"tree"
    with pytest.raises(NotFound):
        store.get("b" * 64, "model.txt")


def test_the_stream_takes_every_record_and_a_signature_verifies(url: str, world: World) -> None:
    entries = [LogEntry("1", "card_1", b"{}\n"), LogEntry("2", "card_2", b"{}\n")]
    assert KinesisPredictionStream(client("kinesis", url), "predictions", lambda _: None).put(entries) == ()
    signer = KmsSigner(client("kms", url), "key")
    assert signer.verify(b"0" * 32, signer.sign(b"0" * 32))
    assert world.calls == {"Kinesis.PutRecords": 1, "KMS.Sign": 1, "KMS.Verify": 1}


def test_what_it_does_not_know_is_refused_and_named(url: str) -> None:
    dynamodb = client("dynamodb", url)
    with pytest.raises(dynamodb.exceptions.ClientError, match=r"DynamoDB\.Scan"):
        dynamodb.scan(TableName="features")
