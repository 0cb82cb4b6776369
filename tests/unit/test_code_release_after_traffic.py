"""After all traffic: the alias and the golden rows are looked at once more, and then the others give up what is billed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from quicksilver.code_release.provisioned import Provisioned, ProvisionedStatus
from quicksilver.errors import ReleaseRefused
from quicksilver.evaluator import LightGBMEvaluator
from tests.code_releases import (
    DEPLOYMENT,
    LIVE,
    NEW,
    Doctored,
    MemoryConcurrency,
    MemoryVersions,
    after_traffic,
    raw_score_one_ulp_up,
)
from tests.unit.conftest import Bench

if TYPE_CHECKING:
    from quicksilver.package import Package

READY = Provisioned(ProvisionedStatus.READY)


@pytest.fixture
def versions(bench: Bench) -> MemoryVersions:
    versions = MemoryVersions(bench)
    versions.publish(LIVE)
    versions.publish(NEW)
    return versions


@pytest.fixture
def concurrency() -> MemoryConcurrency:
    return MemoryConcurrency(looks={"9": [READY], LIVE: [READY], NEW: [READY]})


def test_every_other_version_gives_up_its_provisioned_concurrency(
    bench: Bench, versions: MemoryVersions, concurrency: MemoryConcurrency
) -> None:
    assert after_traffic(bench, versions, concurrency).check(DEPLOYMENT) == [
        "card-fraud@1 (champion): 20 golden rows are given bit for bit.",
        "The provisioned concurrency of function version 9 is released.",
        "The provisioned concurrency of function version 41 is released.",
    ]
    assert [*concurrency.looks] == [NEW]
    # The version that has no traffic any more is asked nothing.
    assert {version for version, _ in versions.asked} == {NEW}


def test_an_alias_that_is_still_being_written_is_waited_for(
    bench: Bench, versions: MemoryVersions, concurrency: MemoryConcurrency
) -> None:
    versions.shifts = [{LIVE: 0.1, NEW: 0.9}, {NEW: 1.0}]
    after_traffic(bench, versions, concurrency).check(DEPLOYMENT)
    assert concurrency.released == ["9", LIVE]


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ({LIVE: 0.9, NEW: 0.1}, "function version 41 with 90%, function version 42 with 10%"),
        ({LIVE: 1.0}, "function version 41 with 100%"),
    ],
)
def test_an_alias_that_has_weights_or_points_elsewhere_stops_it_and_nothing_is_released(
    bench: Bench,
    versions: MemoryVersions,
    concurrency: MemoryConcurrency,
    shares: dict[str, float],
    sentence: str,
) -> None:
    versions.shifts = [shares]
    with pytest.raises(ReleaseRefused, match=rf"live is at {sentence}, and not at function version 42 alone"):
        after_traffic(bench, versions, concurrency).check(DEPLOYMENT)
    assert concurrency.released == []


def test_one_ulp_is_refused_after_traffic_too_and_the_old_version_stays_warm(
    bench: Bench, versions: MemoryVersions, concurrency: MemoryConcurrency, package: Package
) -> None:
    row = package.golden_rows[3]
    versions.publish(NEW, lambda text: Doctored(LightGBMEvaluator(text), [row.vector], raw_score_one_ulp_up))
    with pytest.raises(ReleaseRefused, match="golden row 4: the raw score"):
        after_traffic(bench, versions, concurrency).check(DEPLOYMENT)
    assert concurrency.released == []


def test_what_cannot_be_released_fails_no_release_and_is_said_and_logged(
    bench: Bench,
    versions: MemoryVersions,
    concurrency: MemoryConcurrency,
    caplog: pytest.LogCaptureFixture,
) -> None:
    concurrency.refuses = {"9"}
    with caplog.at_level(logging.ERROR):
        said = after_traffic(bench, versions, concurrency).check(DEPLOYMENT)
    assert said[1].startswith("The provisioned concurrency of function version 9 is not released")
    assert concurrency.released == [LIVE]
    assert "Throttling" in caplog.text
    concurrency.refuses = {"list"}
    assert "cannot be listed" in after_traffic(bench, versions, concurrency).check(DEPLOYMENT)[-1]


def test_a_route_that_changes_meanwhile_is_looked_at_anew(
    bench: Bench, versions: MemoryVersions, concurrency: MemoryConcurrency, second_package: Package
) -> None:
    def moves() -> None:
        bench.put_arm(second_package, share_bp=1)
        bench.clock.advance_ms(60_000)

    answer, moved = versions.functions[NEW], []

    def moving(event: dict[str, object]) -> object:
        if not moved:
            moved.append(moves())
            answer(event)
        return answer(event)

    versions.functions[NEW] = moving
    said = after_traffic(bench, versions, concurrency).check(DEPLOYMENT)
    assert [sentence.partition(" ")[0] for sentence in said[:2]] == ["card-fraud@1", "card-fraud@2"]


def test_without_a_route_there_is_nothing_to_ask(concurrency: MemoryConcurrency) -> None:
    bench = Bench()
    versions = MemoryVersions(bench)
    versions.publish(NEW)
    assert after_traffic(bench, versions, concurrency).check(DEPLOYMENT)[0] == "card-fraud has no route yet."
    assert concurrency.released == ["9", LIVE]
