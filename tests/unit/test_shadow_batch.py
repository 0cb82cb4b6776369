"""A batch is scored and kept whole, comes again where a store is away, and what cannot be scored is counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from quicksilver.archive import SHADOW_SCORES
from quicksilver.aws.s3_archive import S3Archive
from quicksilver.aws.s3_shadow_scores import S3ShadowScoreStore
from quicksilver.errors import Unavailable
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.memory import MemoryShadowScoreStore
from quicksilver.metrics import Metric
from quicksilver.model_loader import ModelLoader, registered
from quicksilver.routing import Arm, Role
from quicksilver.scoring import Caller
from quicksilver.shadow.batch import ROUTE_AGE_MS, BatchResult, ShadowBatches
from quicksilver.shadow.scoring import ShadowScorer
from quicksilver.shadow_registry import add_shadow, remove_shadow
from quicksilver.stream_event import stream_batch
from tests.approvals import ADA, GRACE, bring_to_approved
from tests.shadows import ARRIVED_MS, SHARD, demanding_package, kinesis_event

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.routing import Route
    from tests.unit.conftest import Bench


class Registry:
    """The bench's registry store as the function reads it; some endpoints can be out of reach."""

    def __init__(self, bench: Bench) -> None:
        self._inner = bench.registry_store
        self.down: set[str] = set()
        self.read: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def current_route(self, endpoint: str, *, seconds: float | None = None) -> Route | None:
        self.read.append(endpoint)
        if endpoint in self.down:
            raise Unavailable("The registry cannot be reached.")
        return self._inner.current_route(endpoint, seconds=seconds)


class Function:
    """The shadow function's batches on in-memory stores."""

    def __init__(self, bench: Bench) -> None:
        self.registry = Registry(bench)
        self.store = MemoryShadowScoreStore()
        loader = ModelLoader(bench.artifacts, LightGBMEvaluator, permit=registered(bench.registry_store))
        self.batches = ShadowBatches(
            ShadowScorer(loader, bench.artifacts, bench.clock),
            registry=self.registry,
            store=self.store,
            clock=bench.clock,
            metrics=bench.metrics,
        )

    def score(self, records: list[bytes], first: int = 1) -> BatchResult:
        return self.batches.score(stream_batch(kinesis_event(records, first)))

    def kept(self) -> list[dict[str, Any]]:
        return [json.loads(line) for lines in self.store.batches.values() for line in lines.splitlines()]


@pytest.fixture
def function(bench: Bench) -> Function:
    return Function(bench)


@pytest.fixture
def shadow(bench: Bench, second_package: Package) -> str:
    """A second model version, on the route as a shadow."""
    bench.artifacts.put(second_package.sha256, second_package.files)
    name = bring_to_approved(bench.registry, second_package)
    add_shadow(bench.registry, "card-fraud", name, reason="Look first.", who=GRACE)
    return name


@pytest.fixture
def records(bench: Bench, request_body: dict[str, Any]) -> list[bytes]:
    """Five predictions."""
    for amount in (10, 200, 812.5, 5_000, 90_000):
        request_body["features"]["amount"] = amount
        bench.scorer.score(json.dumps(request_body), Caller("r", "1"))
    bench.log.flush()
    found = [json.loads(entry.data) for entry in bench.stream.entries]
    return [json.dumps({**record, "prediction_id": f"p{i}"}).encode() for i, record in enumerate(found)]


def of_endpoint(record: bytes, endpoint: str) -> bytes:
    return json.dumps({**json.loads(record), "endpoint": endpoint}).encode()


def test_every_record_is_scored_by_every_shadow(
    function: Function, records: list[bytes], shadow: str, second_package: Package, bench: Bench
) -> None:
    add_shadow(bench.registry, "card-fraud", "card-fraud@1", reason="Against itself.", who=ADA)
    assert function.score(records) == BatchResult(records=5, scored=10)
    evaluator = LightGBMEvaluator(second_package.model_text)
    expected = {
        (f"p{i}", shadow, evaluator.raw_score(json.loads(record)["vector"]))
        for i, record in enumerate(records)
    } | {(f"p{i}", "card-fraud@1", json.loads(record)["raw_score"]) for i, record in enumerate(records)}
    assert {(row["prediction_id"], row["model"], row["raw_score"]) for row in function.kept()} == expected
    assert bench.metrics.counts[Metric.SHADOWS_SCORED] == 10


def test_a_batch_that_comes_again_replaces_what_it_left(
    function: Function, records: list[bytes], shadow: str
) -> None:
    function.score(records)
    function.score(records)
    ((arrived_ms, name),) = function.store.batches
    assert (arrived_ms, name) == (ARRIVED_MS, f"{SHARD}-4954{1:052}-4954{5:052}")
    function.score(records[2:], first=3)
    assert len(function.store.batches) == 2


@pytest.mark.usefixtures("shadow")
def test_poison_is_counted_and_the_others_are_scored(
    function: Function, records: list[bytes], bench: Bench
) -> None:
    poison = [b"", b"{not json", b"\xff\xfe", json.dumps({"prediction_id": 1}).encode()]
    result = function.score([poison[0], *records[:2], *poison[1:], *records[2:]])
    assert result == BatchResult(records=9, unreadable=4, scored=5)
    assert bench.metrics.counts[Metric.SHADOW_RECORDS_UNREADABLE] == 4


@pytest.mark.usefixtures("shadow")
def test_a_fallback_has_no_vector_and_is_skipped(
    function: Function, records: list[bytes], bench: Bench
) -> None:
    fallback = {**json.loads(records[0]), "status": "fallback", "vector": [], "raw_score": None}
    assert function.score([json.dumps(fallback).encode(), records[1]]) == BatchResult(2, skipped=1, scored=1)
    assert bench.metrics.counts[Metric.SHADOW_RECORDS_SKIPPED] == 1


def test_without_shadows_nothing_is_written(function: Function, records: list[bytes]) -> None:
    assert function.score(records) == BatchResult(records=5)
    assert function.store.batches == {}


@pytest.mark.usefixtures("shadow")
def test_an_archive_that_is_away_brings_the_batch_again(function: Function, records: list[bytes]) -> None:
    function.store.available = False
    with pytest.raises(Unavailable):
        function.score(records)
    function.store.available = True
    assert function.score(records).scored == 5
    assert len(function.kept()) == 5


@pytest.mark.usefixtures("shadow")
def test_a_registry_that_is_away_brings_the_batch_again(function: Function, records: list[bytes]) -> None:
    function.registry.down = {"card-fraud"}
    with pytest.raises(Unavailable):
        function.score(records)
    function.registry.down = set()
    assert function.score(records).scored == 5


@pytest.mark.usefixtures("shadow")
def test_a_route_that_is_known_goes_on_while_the_registry_is_away(
    function: Function, records: list[bytes], bench: Bench
) -> None:
    function.score(records[:1])
    function.registry.down = {"card-fraud"}
    bench.clock.advance_ms(ROUTE_AGE_MS)
    assert function.score(records).scored == 5
    assert bench.metrics.counts[Metric.ROUTE_REFRESH_FAILED] == 1


@pytest.mark.usefixtures("shadow")
def test_one_endpoints_trouble_does_not_stop_another(function: Function, records: list[bytes]) -> None:
    function.registry.down = {"credit-line"}
    other = of_endpoint(records[0], "credit-line")
    assert function.score([other, *records, other]) == BatchResult(7, skipped=2, scored=5)


@pytest.mark.usefixtures("shadow")
def test_an_endpoint_without_a_route_has_no_shadows(function: Function, records: list[bytes]) -> None:
    assert function.score([of_endpoint(records[0], "never-seen"), records[1]]) == BatchResult(2, scored=1)


def test_a_change_of_route_is_taken_up_within_ten_seconds(
    function: Function, records: list[bytes], shadow: str, bench: Bench
) -> None:
    assert function.score(records).scored == 5
    remove_shadow(bench.registry, "card-fraud", shadow, reason="Enough.", who=ADA)
    bench.clock.advance_ms(ROUTE_AGE_MS - 1)
    assert function.score(records).scored == 5
    bench.clock.advance_ms(1)
    assert function.score(records).scored == 0
    assert function.registry.read == ["card-fraud"] * 2, "and not read for every batch"


def test_what_a_shadow_could_not_score_is_a_row_that_says_why(
    function: Function, records: list[bytes], bench: Bench
) -> None:
    package = demanding_package()
    bench.artifacts.put(package.sha256, package.files)
    name = bring_to_approved(bench.registry, package)
    add_shadow(bench.registry, "card-fraud", "card-fraud@1", reason="Against itself.", who=ADA)
    # Vectors of a model version that answered before: its contract lacks what the shadow needs.
    arm = Arm(model=name, package_sha256=package.sha256, role=Role.SHADOW, share_bp=0)
    function.batches._shadows["card-fraud"] = (arm,)
    function.batches._due_ms["card-fraud"] = bench.clock.now_ms() + 1
    assert function.score(records) == BatchResult(records=5, failed=5)
    assert {(row["error"], row["raw_score"]) for row in function.kept()} == {("features_lacking", None)}
    assert bench.metrics.counts[Metric.SHADOWS_NOT_SCORED] == 5


def test_in_s3_a_batch_is_one_object_in_the_folder_of_its_hour_and_replaces_itself() -> None:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="archive")
        store, archive = S3ShadowScoreStore(s3, "archive"), S3Archive(s3, "archive")
        store.keep("shard-1-2", ARRIVED_MS, b"first\n")
        store.keep("shard-1-2", ARRIVED_MS, b"second\n")
        (kept,) = archive.objects(SHADOW_SCORES, late_ms=0)
        assert kept.key == "shadow/2026/11/26/09/shard-1-2.jsonl"
        assert list(archive.lines(SHADOW_SCORES)) == [b"second\n"]
        with pytest.raises(Unavailable, match="The archive cannot be written: NoSuchBucket"):
            S3ShadowScoreStore(s3, "elsewhere").keep("shard-1-2", ARRIVED_MS, b"x")
