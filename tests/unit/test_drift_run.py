"""A drift run: judges what is due once, catches up, sees late records, and leaves whole documents whatever happens."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quicksilver.drift.judgement import judge
from quicksilver.drift.result import Aspect, WindowResult
from quicksilver.drift.run import DriftRun
from quicksilver.drift.window_judge import Judged, WindowJudge
from quicksilver.drift.windows import DAY_MS, HOUR_MS
from quicksilver.drift_policy import DriftPolicy
from quicksilver.errors import InvalidParameter, Unavailable
from quicksilver.features import Cause, Degraded
from quicksilver.memory import (
    ManualClock,
    MemoryArtifactStore,
    MemoryMetrics,
    MemoryMonitoringStore,
    MemoryRollupStore,
)
from quicksilver.metrics import Metric
from quicksilver.monitoring import Kind, Window
from quicksilver.prediction import PredictionRecord
from quicksilver.rollup_counts import ArmCounts, ArmKey, Lane, LaneKey
from quicksilver.routing import Role
from tests.drift_archive import RecordEngine, Reference, contract, put_model
from tests.prediction_records import prediction_record

START_MS = 20_000 * DAY_MS
MODEL = "card-fraud@1"
CONTRACT = contract()
ROWS = 400


class Followers:
    """The trigger and the announcements in one: whom they were asked about, after how many documents."""

    def __init__(self, store: MemoryMonitoringStore) -> None:
        self._store = store
        self.asked: list[tuple[str, str, int]] = []
        self.failing = ""

    def consider(self, endpoint: str) -> None:
        self._ask("consider", endpoint)

    def catch_up(self, endpoint: str) -> int:
        self._ask("catch up", endpoint)
        return 0

    def _ask(self, what: str, endpoint: str) -> None:
        self.asked.append((what, endpoint, len(list(self._store.names(Kind.DRIFT, endpoint)))))
        if what == self.failing:
            raise Unavailable("The bus does not answer.")


class KilledStore(MemoryMonitoringStore):
    """A store before whose n-th write from now the process is killed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left = math.inf

    def put(self, kind: Kind, endpoint: str, name: str, document: bytes) -> None:
        if self.writes_left <= 0:
            raise KeyboardInterrupt
        self.writes_left -= 1
        super().put(kind, endpoint, name, document)


@dataclass
class World:
    """A stage with one endpoint, or more, whose archive is a list of records."""

    folder: Path
    policies: tuple[DriftPolicy, ...] = (
        DriftPolicy(endpoint="card-fraud", version=3, catch_up_days=3, late_hours=12),
    )
    clock: ManualClock = field(default_factory=lambda: ManualClock(START_MS + DAY_MS + HOUR_MS))
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    rollup: MemoryRollupStore = field(default_factory=MemoryRollupStore)
    artifacts: MemoryArtifactStore = field(default_factory=MemoryArtifactStore)
    store: KilledStore = field(default_factory=KilledStore)

    def __post_init__(self) -> None:
        self.engine = RecordEngine(self.folder, slice_ms=6 * HOUR_MS)
        self.followers = Followers(self.store)
        self.reference = Reference.drawn()
        self.sha256 = put_model(self.artifacts, CONTRACT, self.reference.profile(CONTRACT))

    def judges(self) -> list[WindowJudge]:
        return [
            WindowJudge(
                policy=policy,
                cutoff=0.3,
                engine=self.engine,
                rollup=self.rollup,
                artifacts=self.artifacts,
                monitoring=self.store,
                clock=self.clock,
                judge=judge,
            )
            for policy in self.policies
        ]

    def run(self, has_time: Callable[[], bool] = lambda: True, **changes: Any) -> dict[str, str]:
        parts = {
            "judges": self.judges(),
            "page": page,
            "trigger": self.followers,
            "announcements": self.followers,
            "metrics": self.metrics,
        }
        return DriftRun(**{**parts, **changes}).run(has_time)

    def record(self, number: int, **changes: Any) -> PredictionRecord:
        usual = {"package_sha256": self.sha256, "fingerprint": CONTRACT.fingerprint}
        return prediction_record(number, **{**usual, **changes})

    def traffic(
        self, start_ms: int, rows: int = ROWS, *, first: int = 0, bend: Callable[[Any], None] | None = None
    ) -> list[PredictionRecord]:
        """A day of records like the reference's rows, spread over it; ``bend`` changes the vectors (rows, 4)."""
        random = np.random.default_rng(start_ms % 1_000_003 + first)
        places = random.integers(0, len(self.reference.vectors), rows)
        vectors = self.reference.vectors[places]
        if bend:
            bend(vectors)
        return [
            self.record(
                start_ms // HOUR_MS * 100_000 + first + place,
                time_ms=start_ms + place * DAY_MS // rows,
                vector=tuple(None if math.isnan(value) else value for value in vector),
                score=float(self.reference.scores[places[place]]),
            )
            for place, vector in enumerate(vectors.tolist())
        ]

    def count_in_rollup(self, records: Iterable[PredictionRecord]) -> None:
        for record in records:
            key = LaneKey(record.endpoint, START_MS, 0)
            lane = self.rollup.lane(key)
            arm = ArmKey(record.model, record.arm.role)
            counted = lane.arms.get(arm)
            requests = 1 + (counted.requests if counted else 0)
            self.rollup.put_lane(
                Lane(key, lane.version + 1, {arm: _requests(requests)}, expires_s=lane.expires_s)
            )

    def results(self, endpoint: str = "card-fraud") -> dict[int, WindowResult]:
        """What is kept, by the window's start in days after ``START_MS``."""
        names = self.store.names(Kind.DRIFT, endpoint)
        kept = [
            WindowResult.model_validate_json(self.store.get(Kind.DRIFT, endpoint, name) or b"")
            for name in names
        ]
        return {(each.counts.window.start_ms - START_MS) // DAY_MS: each for each in kept}


def _requests(requests: int) -> ArmCounts:
    return ArmCounts(requests=requests)


def double(vectors: Any) -> None:
    vectors[:, 0] *= 2


def page(judged: Judged) -> str:
    return f"<html>{judged.result.counts.window.name} {len(judged.earlier)} {sorted(judged.binnings)}</html>"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


TODAY = Window(start_ms=START_MS, end_ms=START_MS + DAY_MS)


def test_a_window_that_has_ended_is_judged_once(world: World) -> None:
    world.engine.records = world.traffic(START_MS)
    assert world.run() == {"card-fraud": "3 windows judged"}
    result = world.results()[0]
    assert (result.revision, result.policy_version) == (1, 3)
    assert (result.counts.archived, result.alarms) == (ROWS, ())
    assert [arm.model for arm in result.counts.arms] == [MODEL]
    assert len(result.findings) > 4
    before = dict(world.store._documents)
    assert world.run() == {"card-fraud": "0 windows judged"}
    assert world.store._documents == before
    assert world.metrics.counts == {Metric.DRIFT_WINDOWS_JUDGED: 3}


def test_its_page_is_kept_where_the_alarm_says(world: World) -> None:
    world.engine.records = world.traffic(START_MS, bend=double)
    world.run()
    assert world.store.get(Kind.REPORT, "card-fraud", TODAY.name) == (
        f"<html>{TODAY.name} 2 ['{MODEL}']</html>".encode()
    )


def test_a_quiet_window_has_no_page_for_nothing_links_to_it(world: World) -> None:
    world.engine.records = world.traffic(START_MS)
    world.run()
    assert not list(world.store.names(Kind.REPORT, "card-fraud"))


def test_drift_alarms_and_names_its_feature_first(world: World) -> None:
    world.engine.records = world.traffic(START_MS, bend=double)
    world.run()
    alarms = world.results()[0].alarms
    assert (alarms[0].feature, alarms[0].aspect) == ("amount", Aspect.DISTRIBUTION)
    assert world.metrics.counts[Metric.DRIFT_ALARMS] == 1


def test_a_missed_schedule_is_caught_up_oldest_first(world: World) -> None:
    world.run()
    world.clock.advance_ms(2 * DAY_MS)
    world.engine.records = world.traffic(START_MS + DAY_MS) + world.traffic(START_MS + 2 * DAY_MS)
    world.run()
    results = world.results()
    assert sorted(results) == [-2, -1, 0, 1, 2]
    assert [results[day].counts.archived for day in (1, 2)] == [ROWS, ROWS]
    assert results[1].judged_at <= results[2].judged_at


def test_what_follows_is_decided_after_all_windows_are_judged(world: World) -> None:
    world.run()
    assert world.followers.asked == [("consider", "card-fraud", 3), ("catch up", "card-fraud", 3)]


def test_late_records_have_a_window_judged_again_until_they_are_no_longer_waited_for(world: World) -> None:
    records = world.traffic(START_MS)
    world.engine.records = records[:300]
    world.run()
    world.engine.records = records[:350]
    world.clock.advance_ms(HOUR_MS)
    assert world.run() == {"card-fraud": "1 window judged"}
    assert (world.results()[0].revision, world.results()[0].counts.archived) == (2, 350)
    world.clock.advance_ms(HOUR_MS)
    assert world.run() == {"card-fraud": "0 windows judged"}
    # Twelve hours after its end it is looked at for the last time.
    world.clock.advance_ms(12 * HOUR_MS)
    world.run()
    world.engine.records = records
    world.clock.advance_ms(HOUR_MS)
    opened = world.engine.opened
    assert world.run() == {"card-fraud": "0 windows judged"}
    assert world.engine.opened == opened, "nobody looks any more"
    assert (world.results()[0].revision, world.results()[0].counts.archived) == (2, 350)


def test_a_look_that_was_missed_is_made_up_for(world: World) -> None:
    records = world.traffic(START_MS)
    world.engine.records = records[:300]
    world.run()
    world.engine.records = records
    world.clock.advance_ms(20 * HOUR_MS)
    world.run()
    assert (world.results()[0].revision, world.results()[0].counts.archived) == (2, ROWS)


def test_a_window_that_has_all_the_rollup_counted_is_not_opened_again(world: World) -> None:
    world.engine.records = records = world.traffic(START_MS)
    world.count_in_rollup(records)
    world.run()
    assert world.results()[0].counts.complete == 1.0
    opened = world.engine.opened
    world.clock.advance_ms(HOUR_MS)
    world.run()
    assert world.engine.opened == opened, "nor are its neighbours: they hold none, and none was counted"


def test_a_partial_archive_is_said_and_completed_later(world: World) -> None:
    records = world.traffic(START_MS)
    world.count_in_rollup(records)
    world.engine.records = records[:200]
    world.run()
    result = world.results()[0]
    assert (result.counts.rolled_up, result.counts.complete) == (ROWS, 0.5)
    assert any("partial" in note for note in result.notes)
    world.engine.records = records
    world.clock.advance_ms(HOUR_MS)
    world.run()
    result = world.results()[0]
    assert (result.revision, result.counts.complete) == (2, 1.0)
    assert not any("partial" in note for note in result.notes)


def test_what_the_rollup_has_begun_to_forget_is_not_counted_against(tmp_path: Path) -> None:
    by = DriftPolicy(endpoint="card-fraud", version=1, catch_up_days=60)
    world = World(tmp_path, policies=(by,))
    world.run()
    results = world.results()
    assert results[-50].counts.rolled_up is None
    assert results[0].counts.rolled_up == 0


@pytest.mark.parametrize("writes", range(4))
def test_killed_anywhere_a_run_has_left_whole_documents_and_the_next_one_goes_on(
    world: World, writes: int
) -> None:
    world.engine.records = world.traffic(START_MS, bend=double)
    world.store.writes_left = writes
    with pytest.raises(KeyboardInterrupt):
        world.run()
    left = world.results()
    pages = set(world.store.names(Kind.REPORT, "card-fraud"))
    # Two windows without records leave a document each, and the one that alarms its page before its document.
    assert (len(left), len(pages)) == (min(writes, 2), max(0, writes - 2))
    world.store.writes_left = math.inf
    world.run()
    assert {day: result.revision for day, result in world.results().items()} == {-2: 1, -1: 1, 0: 1}
    assert world.results()[0].counts.archived == ROWS


def test_two_runs_at_once_leave_the_same(world: World) -> None:
    world.engine.records = world.traffic(START_MS)
    world.run()
    once = dict(world.store._documents)
    one, other = world.judges()[0], world.judges()[0]
    assert one.judged(TODAY).result == other.judged(TODAY).result == world.results()[0]
    assert world.store._documents == once, "judging keeps nothing"


def test_without_time_no_window_is_begun_and_the_next_run_goes_on_there(world: World) -> None:
    left = iter([True, True, False])
    assert world.run(lambda: next(left)) == {"card-fraud": "2 windows judged; more are due"}
    assert sorted(world.results()) == [-2, -1]
    assert world.run() == {"card-fraud": "1 window judged"}


def test_an_endpoint_that_fails_stands_in_the_way_of_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policies = tuple(
        DriftPolicy(endpoint=name, version=1, catch_up_days=3) for name in ("card-fraud", "credit-line")
    )
    world = World(tmp_path, policies=policies)
    world.engine.records = world.traffic(START_MS, bend=double)

    def broken(judged: Judged) -> str:
        if judged.result.endpoint == "card-fraud":
            raise ValueError("card_4711 is no number")
        return page(judged)

    with caplog.at_level(logging.ERROR):
        said = world.run(page=broken)
    assert said == {
        "card-fraud": "2 windows judged; failed: an error nobody foresaw",
        "credit-line": "3 windows judged",
    }
    assert world.metrics.counts[Metric.DRIFT_RUN_FAILED] == 1
    assert "4711" not in caplog.text
    assert TODAY.name not in list(world.store.names(Kind.DRIFT, "card-fraud")), "its page could not be drawn"
    asked = [(what, endpoint) for what, endpoint, _ in world.followers.asked]
    assert ("catch up", "card-fraud") in asked, "what it judged before is told all the same"


def test_endpoints_take_turns(tmp_path: Path) -> None:
    policies = tuple(
        DriftPolicy(endpoint=name, version=1, catch_up_days=3) for name in ("card-fraud", "credit-line")
    )
    world = World(tmp_path, policies=policies)
    left = iter([True, False])
    world.run(lambda: next(left))
    assert [sorted(world.results(policy.endpoint)) for policy in policies] == [[-2], [-2]]


@pytest.mark.parametrize(
    ("failing", "metric"),
    [("consider", Metric.RETRAIN_TRIGGER_FAILED), ("catch up", Metric.ANNOUNCEMENTS_FAILED)],
)
def test_what_follows_fails_by_itself(world: World, failing: str, metric: Metric) -> None:
    world.followers.failing = failing
    assert world.run() == {"card-fraud": "3 windows judged; failed: The bus does not answer."}
    assert world.metrics.counts[metric] == 1
    assert [what for what, *_ in world.followers.asked] == ["consider", "catch up"]


def test_a_store_that_does_not_answer_is_tried_again_by_the_next_run(world: World) -> None:
    world.store.available = False
    assert world.run()["card-fraud"].startswith("0 windows judged; failed:")
    world.store.available = True
    assert world.run() == {"card-fraud": "3 windows judged"}


# -- bad input --


def judged(world: World, records: Sequence[PredictionRecord]) -> WindowResult:
    world.engine.records = list(records)
    world.run()
    return world.results()[0]


def test_an_empty_window_has_no_findings_and_says_so(world: World) -> None:
    result = judged(world, [])
    assert (result.findings, result.counts.archived) == ((), 0)
    assert result.notes == ("No prediction is in the archive for this window.",)


def test_one_row_is_counted_and_not_judged(world: World) -> None:
    result = judged(world, world.traffic(START_MS, 1))
    assert (result.findings, result.counts.arms[0].rows) == ((), 1)
    assert any("fewer than 100" in note for note in result.notes)


def test_all_values_missing_is_an_alarm_of_what_is_missing(world: World) -> None:
    def lose(vectors: Any) -> None:
        vectors[:, 0] = np.nan

    result = judged(world, world.traffic(START_MS, bend=lose))
    assert ("amount", Aspect.MISSING) in {(each.feature, each.aspect) for each in result.alarms}
    assert {each.feature for each in result.alarms} == {"amount"}


def test_rows_without_any_value_at_all_are_judged_too(world: World) -> None:
    records = [world.record(place, time_ms=START_MS, vector=(None,) * 4, score=0.5) for place in range(ROWS)]
    result = judged(world, records)
    assert {each.feature for each in result.alarms if each.aspect is Aspect.MISSING} == set(CONTRACT.names)


def test_all_values_the_same_is_drift(world: World) -> None:
    def freeze(vectors: Any) -> None:
        vectors[:, 0] = 80.0

    result = judged(world, world.traffic(START_MS, bend=freeze))
    assert {each.feature for each in result.alarms} == {"amount"}


def test_a_new_category_is_found_as_unseen(world: World) -> None:
    records = [
        record
        if place % 10
        else record.model_copy(
            update={
                "vector": (record.vector[0], None, *record.vector[2:]),
                "degraded": (
                    Degraded(
                        feature="channel",
                        cause=Cause.UNSEEN_CATEGORY,
                        policy=CONTRACT.features[1].missing,
                    ),
                ),
            }
        )
        for place, record in enumerate(world.traffic(START_MS))
    ]
    result = judged(world, records)
    assert ("channel", Aspect.UNSEEN) in {(each.feature, each.aspect) for each in result.alarms}
    assert result.counts.arms[0].causes == {"channel": {Cause.UNSEEN_CATEGORY: ROWS // 10}}


def test_a_feature_that_is_gone_from_the_vectors_is_missing(world: World) -> None:
    shorter = [record.model_copy(update={"vector": record.vector[:3]}) for record in world.traffic(START_MS)]
    result = judged(world, shorter)
    assert {(each.feature, each.aspect) for each in result.alarms} >= {("count", Aspect.MISSING)}


def test_an_object_that_cannot_be_read_is_skipped_counted_and_said(world: World) -> None:
    world.engine.broken = ["{half a rec"]
    result = judged(world, world.traffic(START_MS))
    assert result.counts.archived == ROWS
    assert any("1 objects of the archive could not be read" in note for note in result.notes)
    assert world.metrics.counts[Metric.ARCHIVE_OBJECTS_SKIPPED] == 3
    # Repaired, it is counted with the rest.
    world.engine.broken = []
    world.clock.advance_ms(HOUR_MS)
    world.run()
    assert (world.results()[0].revision, world.results()[0].counts.skipped) == (2, ())


def test_a_model_without_a_reference_profile_is_judged_by_nothing_and_said(world: World) -> None:
    without = put_model(world.artifacts, CONTRACT, None)
    strange = [
        world.record(place, time_ms=START_MS, assigned="card-fraud@2", package_sha256=without)
        for place in range(5)
    ]
    result = judged(world, [*world.traffic(START_MS, first=1_000), *strange])
    assert result.counts.unprofiled == {"card-fraud@2": 5}
    assert [arm.model for arm in result.counts.arms] == [MODEL]
    assert any("card-fraud@2 has no reference profile" in note for note in result.notes)


def test_a_window_half_in_the_future_is_refused(world: World) -> None:
    world.clock.advance_ms(-2 * HOUR_MS)
    with pytest.raises(InvalidParameter, match=r"^A window is judged when it is over\.$"):
        world.judges()[0].judged(TODAY)
    world.run()
    assert 0 not in world.results(), "nor is it due"


def test_an_arm_is_named_with_every_role_it_had(world: World) -> None:
    records = world.traffic(START_MS)
    promoted = [
        record.model_copy(update={"arm": record.arm.model_copy(update={"role": Role.CANARY})})
        for record in records[:10]
    ]
    result = judged(world, [*promoted, *records[10:]])
    assert result.counts.arms[0].roles == (Role.CANARY, Role.CHAMPION)


def test_a_backtest_compares_with_the_windows_it_has_just_judged_and_keeps_nothing(world: World) -> None:
    world.clock.advance_ms(2 * DAY_MS)
    world.engine.records = [record for day in range(3) for record in world.traffic(START_MS + day * DAY_MS)]
    windows = [
        Window(start_ms=START_MS + day * DAY_MS, end_ms=START_MS + (day + 1) * DAY_MS) for day in range(3)
    ]
    tested = list(world.judges()[0].backtest(windows))
    assert [len(each.earlier) for each in tested] == [0, 1, 2]
    assert any(each.aspect is Aspect.APPROVAL for each in tested[2].result.findings)
    assert not world.store._documents
