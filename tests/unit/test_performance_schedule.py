"""What the schedule runs, and where a model version's AUC at training comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.errors import Unavailable
from quicksilver.labelled import DAY_MS
from quicksilver.memory import ManualClock, MemoryArtifactStore, MemoryMetrics, MemoryRegistryStore
from quicksilver.model_version import ModelVersion
from quicksilver.package import METRICS
from quicksilver.performance.reference import ReferenceAuc
from quicksilver.performance.run import PerformanceRun
from quicksilver.performance.schedule import PerformanceSchedule
from tests.labelled_traffic import ENDPOINT, START_MS, policy, traffic
from tests.unit.test_performance_run import Documents
from tests.written_archive import WrittenArchive

if TYPE_CHECKING:
    from quicksilver.package import Package


class Step:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails: Exception | None = None

    def consider(self, endpoint: str) -> None:
        self.asked.append(endpoint)
        if self.fails:
            raise self.fails

    def catch_up(self, endpoint: str) -> int:
        self.consider(endpoint)
        return 0


class World:
    def __init__(self) -> None:
        predictions, outcomes = traffic(2)
        self.archive = WrittenArchive(predictions, {ENDPOINT: outcomes})
        self.documents = Documents()
        self.trigger, self.announcements, self.metrics = Step(), Step(), MemoryMetrics()

    def run(self, *endpoints: str) -> dict[str, str]:
        performance = PerformanceRun(
            policies={ENDPOINT: policy()},
            cutoffs={ENDPOINT: 0.5},
            engine=self.archive,
            store=self.documents,
            reference_auc=lambda _: 0.8,
            clock=ManualClock(START_MS + 6 * DAY_MS),
        )
        schedule = PerformanceSchedule(endpoints, performance, self.trigger, self.announcements, self.metrics)
        return schedule.run()


@pytest.fixture
def world() -> World:
    return World()


def test_windows_are_judged_then_the_trigger_is_asked_and_what_is_new_announced(world: World) -> None:
    assert world.run(ENDPOINT) == {ENDPOINT: "2 results, 2 judged, 0 degraded"}
    assert (world.trigger.asked, world.announcements.asked) == ([ENDPOINT], [ENDPOINT])
    assert world.metrics.counts == {"PerformanceRuns": 1}
    assert world.run(ENDPOINT) == {ENDPOINT: "0 results, 0 judged, 0 degraded"}


def test_an_endpoint_that_fails_stands_in_the_way_of_no_other_and_what_follows_is_done_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    said = world.run("credit-line", ENDPOINT)
    assert said["credit-line"] == "failed: There is no drift policy of an endpoint credit-line."
    assert said[ENDPOINT] == "2 results, 2 judged, 0 degraded"
    assert world.trigger.asked == ["credit-line", ENDPOINT]
    assert world.metrics.counts == {"PerformanceRunFailed": 1, "PerformanceRuns": 1}
    assert "credit-line" in caplog.text


def test_what_follows_fails_on_its_own(world: World) -> None:
    world.trigger.fails = Unavailable("The archive is unavailable.")
    world.announcements.fails = RuntimeError("card_000042")
    (said,) = world.run(ENDPOINT).values()
    assert said.split("; ")[1:] == ["failed: The archive is unavailable.", "failed: an error nobody foresaw"]
    assert world.metrics.counts == {
        "PerformanceRuns": 1,
        "RetrainTriggerFailed": 1,
        "AnnouncementsFailed": 1,
    }


def test_a_store_that_fails_is_counted_and_tried_again(world: World) -> None:
    world.documents.fails_after = 1
    assert world.run(ENDPOINT) == {ENDPOINT: "failed: The archive is unavailable."}
    world.documents.fails_after = None
    assert world.run(ENDPOINT) == {ENDPOINT: "1 results, 1 judged, 0 degraded"}


# -- the AUC at training --


@pytest.fixture
def registry(package: Package, monkeypatch: pytest.MonkeyPatch) -> MemoryRegistryStore:
    store = MemoryRegistryStore()
    version = ModelVersion(
        endpoint="card-fraud", number=1, package_sha256=package.sha256, fingerprint=package.contract.fingerprint,
        author="ada", registered_at="2026-11-23T00:00:00.000Z",
    )  # fmt: skip
    monkeypatch.setattr(store, "model_version", lambda _, number: version if number == 1 else None)
    return store


def artifacts_with(package: Package, **changes: bytes) -> MemoryArtifactStore:
    store = MemoryArtifactStore()
    store.put(package.sha256, {**package.files, **changes})
    return store


def test_the_auc_at_training_is_the_packages(package: Package, registry: Any) -> None:
    reference = ReferenceAuc(registry, artifacts_with(package))
    assert reference("card-fraud@1") == package.metrics["auc"]
    assert reference("card-fraud@2") is None


def test_a_package_that_is_absent_or_altered_says_nothing(package: Package, registry: Any) -> None:
    assert ReferenceAuc(registry, MemoryArtifactStore())("card-fraud@1") is None
    altered = artifacts_with(package, **{METRICS: b'{"auc": 0.99}'})
    assert ReferenceAuc(registry, altered)("card-fraud@1") is None


def test_a_registry_that_is_away_is_no_answer(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(endpoint: str, number: int) -> None:
        raise Unavailable("The registry is unavailable.")

    monkeypatch.setattr(registry, "model_version", away)
    with pytest.raises(Unavailable):
        ReferenceAuc(registry, MemoryArtifactStore())("card-fraud@1")
