"""The train function wired as Lambda wires it, on S3 and DynamoDB as moto has them: from a request to a package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from quicksilver.aws import clients
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.aws.s3_objects import S3ObjectStore
from quicksilver.bootstrap.train import train_function
from quicksilver.memory import MemoryObjectStore
from quicksilver.monitoring import Kind
from quicksilver.ports import Change
from quicksilver.retraining.step import Step
from quicksilver.retraining.workspace import WorkFile, Workspace
from tests.contract.tables import create_registry_table
from tests.retraining import request_for, set_file
from tests.trainings import registry_of, run_of, world

if TYPE_CHECKING:
    from quicksilver.package import Package

ROOT = Path(__file__).resolve().parents[2]


def test_it_finds_the_request_its_set_and_its_champion_and_trains_as_anywhere(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "QUICKSILVER_STAGE": "test",
        "QUICKSILVER_ARCHIVE_BUCKET": "archive",
        "QUICKSILVER_MODELS_BUCKET": "models",
        "QUICKSILVER_REGISTRY_TABLE": "registry",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("quicksilver.bootstrap.train.os.cpu_count", lambda: 1)
    request, data = request_for(package.contract), set_file(*world())
    clients.client.cache_clear()
    with mock_aws():
        s3 = boto3.client("s3")
        for bucket in ("archive", "models"):
            s3.create_bucket(Bucket=bucket)
        dynamodb = boto3.client("dynamodb")
        create_registry_table(dynamodb, "registry")
        _copy_registry(package, DynamoDBRegistryStore(dynamodb, "registry"))
        S3ArtifactStore(s3, "models").put(package.sha256, package.files)
        document = request.model_dump_json().encode()
        S3MonitoringStore(s3, "archive").put(Kind.RETRAIN, request.endpoint, request.id, document)
        left = Workspace(S3ObjectStore(s3, "archive"), request.endpoint, request.id)
        left.put(WorkFile.SET, data)
        # When the machine hands over the step
        function = train_function()
        step = Step.of(json.loads((ROOT / "events" / "train_card_fraud.json").read_text()))
        result = function.training.train(step.request(function.documents))
        # Then what is left is what training in memory leaves
        memory = MemoryObjectStore()
        Workspace(memory, request.endpoint, request.id).put(WorkFile.SET, data)
        assert run_of(package, memory).train(request) == result
        for file in (WorkFile.PACKAGE, WorkFile.EVALUATION, WorkFile.TRAINING):
            assert left.get(file) == memory.objects[left.key(file)]
    clients.client.cache_clear()


def _copy_registry(package: Package, store: DynamoDBRegistryStore) -> None:
    memory = registry_of(package)
    endpoint = package.contract.endpoint
    (entry,) = memory.history(endpoint)
    store.commit(
        Change(store.head(endpoint), memory.head(endpoint), entry, memory.model_version(endpoint, 1))
    )
