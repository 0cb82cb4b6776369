"""What the rollup tells CloudWatch of arms: each record once at most, by role and never by model version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.bootstrap.emf import EmfMetrics
from quicksilver.errors import Unavailable
from quicksilver.memory import ManualClock, MemoryMetrics, MemoryRollupStore
from quicksilver.metrics import ARM_METRICS, Metric
from quicksilver.prediction import Status
from quicksilver.rollup.fold import Fold
from quicksilver.rollup_counts import Lane
from quicksilver.routing import Role
from quicksilver.stream_event import StreamRecord
from tests.prediction_records import CANARY, CHAMPION, NOT_LOADED, NOW_MS, entry


def fold(store: MemoryRollupStore, metrics: MemoryMetrics) -> Fold:
    return Fold(
        store=store,
        clock=ManualClock(NOW_MS),
        metrics=metrics,
        pause=lambda _: None,
        cutoffs={"card-fraud": 0.5, "credit-line": 0.2},
        period_seconds=60,
        keep_days=35,
    )


def told(*lines: bytes) -> Mapping[tuple[str, str], Mapping[Metric, int]]:
    metrics = MemoryMetrics()
    fold(MemoryRollupStore(), metrics).fold(StreamRecord(str(n), line) for n, line in enumerate(lines))
    return metrics.arms


def test_an_arm_is_told_of_by_its_role_with_what_its_records_add_up_to() -> None:
    canary: dict[str, Any] = {"assigned": CANARY, "role": Role.CANARY}
    arms = told(
        entry(1, score=0.2).data,
        entry(2, score=0.7004).data,
        entry(
            3, score=0.9, **canary, model=CHAMPION
        ).data,  # answered by the champion: an error of the canary
        entry(4, score=0.1, **canary).data,
        entry(5, score=0.3, holdout=True).data,
        entry(6, score=0.3, status=Status.FALLBACK).data,
    )
    shown = {arm: [counts[name] for name in ARM_METRICS] for (_, arm), counts in arms.items()}
    assert shown == {
        "champion": [3, 1, 0, 1, 9_004],
        "canary": [2, 1, 0, 1, 1_000],
        "holdout": [1, 0, 0, 1, 3_000],
    }


def test_endpoints_are_told_of_apart_and_judged_by_their_own_cutoffs() -> None:
    arms = told(
        *(
            entry(n, endpoint=endpoint, assigned=f"{endpoint}@1", score=0.3).data
            for n, endpoint in enumerate(("card-fraud", "credit-line"))
        )
    )
    assert {key: counts[Metric.ARM_APPROVED] for key, counts in arms.items()} == {
        ("card-fraud", "champion"): 1,
        ("credit-line", "champion"): 0,
    }


def test_a_model_version_that_only_could_not_be_loaded_is_no_arm() -> None:
    assert [arm for _, arm in told(entry(1, degraded=(NOT_LOADED,)).data)] == ["champion"]


@settings(deadline=None)
@given(models=st.lists(st.integers(1, 10_000), min_size=1, max_size=20), roles=st.sampled_from(list(Role)))
def test_however_many_model_versions_there_are_the_series_are_as_many_as_roles(
    models: list[int], roles: Role
) -> None:
    arms = told(
        *(
            entry(n, assigned=f"card-fraud@{model}", role=roles, holdout=n % 2 == 0).data
            for n, model in enumerate(models)
        )
    )
    assert {arm for _, arm in arms} <= {roles.value, "holdout"}
    assert sum(counts[Metric.ARM_DECISIONS] for counts in arms.values()) == len(models)


def test_a_batch_that_comes_again_is_told_of_once() -> None:
    metrics, store = MemoryMetrics(), MemoryRollupStore()
    for _ in range(3):
        fold(store, metrics).fold([StreamRecord("1", entry(1).data)])
    assert metrics.arms["card-fraud", "champion"][Metric.ARM_DECISIONS] == 1


def test_what_could_not_be_counted_is_not_told() -> None:
    class Refusing(MemoryRollupStore):
        def put_lane(self, lane: Lane) -> None:
            raise Unavailable("The rollup's table cannot be reached.")

    metrics = MemoryMetrics()
    with pytest.raises(Unavailable):
        fold(Refusing(), metrics).fold([StreamRecord("1", entry(1).data)])
    assert metrics.arms == {}


def test_a_flush_writes_one_line_for_each_arm_and_forgets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "rollup")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Quicksilver")
    metrics = EmfMetrics()
    # Two lanes of a batch, and a count without an arm
    for decisions in (3, 4):
        metrics.count_arm("card-fraud", "canary", {Metric.ARM_DECISIONS: decisions, Metric.ARM_APPROVED: 1})
    metrics.count_arm("card-fraud", "champion", {Metric.ARM_DECISIONS: 5, Metric.ARM_APPROVED: 2})
    metrics.count(Metric.ROLLUP_RECORDS_UNREADABLE)
    metrics.flush()
    metrics.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_arm = {line.get("arm"): line for line in lines}
    assert len(lines) == len(by_arm) == 3
    assert by_arm["canary"]["ArmDecisions"] == [7.0]
    assert by_arm["canary"]["ArmApproved"] == [2.0]
    (directive,) = by_arm["canary"]["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Quicksilver"
    assert [sorted(dimensions) for dimensions in directive["Dimensions"]] == [["arm", "endpoint", "service"]]
    assert by_arm["champion"]["service"] == "rollup"
    assert by_arm[None]["RollupRecordsUnreadable"] == [1.0]
    assert "endpoint" not in by_arm[None]
