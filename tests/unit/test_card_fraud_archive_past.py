"""The demo's past lies where the stream would have put it, and takes away an earlier one and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from examples.card_fraud import archive_past, watch
from quicksilver.errors import QuicksilverError
from quicksilver.memory import MemoryMonitoringStore
from quicksilver.monitoring import Kind
from quicksilver.retraining.request import request_id
from tests.prediction_records import prediction_record

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bucket:
    """As much of S3 as is asked for."""

    def __init__(self, *keys: str) -> None:
        self.objects = dict.fromkeys(keys, b"")

    def client(self, service: str, config: object = None) -> Bucket:
        assert service == "s3"
        return self

    outputs = {"ArchiveBucket": "archive"}  # noqa: RUF012 - as a stage has them

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 - boto3's names
        self.objects[Key] = Body

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        yield {}
        for key in sorted(self.objects):
            if key.startswith(Prefix):
                yield {"Contents": [{"Key": key}]}

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> None:  # noqa: N803
        for item in Delete["Objects"]:
            del self.objects[item["Key"]]


def test_records_lie_in_the_folder_of_their_hour() -> None:
    bucket = Bucket()
    times = ("2026-11-20T07:59:59.999Z", "2026-11-20T08:00:00.000Z", "2026-11-20T08:30:00.000Z")
    records = [prediction_record(number, time=time) for number, time in enumerate(times)]
    archive_past._write(bucket, records)  # type: ignore[arg-type]
    assert {key: body.count(b"\n") for key, body in bucket.objects.items()} == {
        "predictions/card-fraud/2026/11/20/07/past.jsonl": 1,
        "predictions/card-fraud/2026/11/20/08/past.jsonl": 2,
    }
    assert bucket.objects["predictions/card-fraud/2026/11/20/07/past.jsonl"] == records[0].to_entry().data


def test_an_earlier_past_goes_with_what_the_monitoring_made_of_it_and_nothing_else() -> None:
    stays = (
        "predictions/card-fraud/2026/11/20/08/from-the-stream.jsonl",
        "predictions/credit-line/2026/11/20/08/past.jsonl",
        "monitoring/drift/credit-line/1.json",
        "training/credit-line/credit-line-000001/set.parquet",
        "outcomes/card-fraud/2026/11/20/08/ab.jsonl",
    )
    goes = (
        "predictions/card-fraud/2026/11/20/08/past.jsonl",
        "monitoring/drift/card-fraud/1.json",
        "monitoring/retrain/card-fraud/card-fraud-000001.json",
        "training/card-fraud/card-fraud-000001/set.parquet",
    )
    bucket = Bucket(*stays, *goes)
    archive_past._forget(bucket)  # type: ignore[arg-type]
    assert sorted(bucket.objects) == sorted(stays)


@pytest.mark.parametrize("requests", [0, 2])
def test_another_number_of_requests_than_one_ends_the_demo(requests: int) -> None:
    store = MemoryMonitoringStore()
    for number in range(requests):
        store.put(Kind.RETRAIN, "card-fraud", request_id("card-fraud", number + 1), b"{}")
    with pytest.raises(QuicksilverError, match=f"there are {requests}"):
        watch.the_request(SimpleNamespace(monitoring=store))  # type: ignore[arg-type]


def test_a_drift_function_that_fails_or_never_ends_is_said() -> None:
    def stage(said: str) -> Any:
        return SimpleNamespace(
            function=lambda service: service, invoke=lambda *_: {"card-fraud": said, "credit-line": ""}
        )

    assert watch.catch_up(stage("10 windows judged"), print) == "10 windows judged"
    with pytest.raises(QuicksilverError, match="2 windows judged; failed: why"):
        watch.catch_up(stage("2 windows judged; failed: why"), print)
    with pytest.raises(QuicksilverError, match="more to judge"):
        watch.catch_up(stage("1 window judged; more are due"), lambda _: None)
