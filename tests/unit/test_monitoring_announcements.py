"""What the monitoring finds is announced: nothing is left out, whoever is killed, and what comes twice has the same id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quicksilver.announcements import MAX_SUBJECT
from quicksilver.errors import NotFound, Unavailable
from quicksilver.memory import ManualClock, MemoryAnnouncer, MemoryMonitoringStore
from quicksilver.monitoring import DetailType, Kind
from quicksilver.monitoring_announcements import (
    MAX_FINDINGS,
    TOLD_FINDINGS,
    ArchivePlace,
    DriftDetail,
    MonitoringAnnouncements,
    PerformanceDetail,
    drift_announcement,
)
from quicksilver.ports import Announcement
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.trigger import Trigger
from tests.monitoring_documents import (
    DAY_MS,
    ENDPOINT,
    RegistryOf,
    drift_policy,
    drift_result,
    finding,
    performance_result,
    put_drift,
    put_performance,
    window,
)

START_MS = 1_764_028_800_000 // DAY_MS * DAY_MS
NOW_MS = START_MS + 3 * DAY_MS
PLACE = ArchivePlace("archive-1", "eu-central-1")
POLICIES = {ENDPOINT: drift_policy(consecutive_windows=1)}


def filled() -> MemoryMonitoringStore:
    """Two windows with an alarm, a quiet one, a performance that has degraded and one that has not, and a request."""
    store = MemoryMonitoringStore()
    for day, alarm in enumerate((True, False, True)):
        put_drift(store, drift_result(window(START_MS + day * DAY_MS), finding(alarm=alarm)))
    for day, degraded in enumerate((True, False)):
        put_performance(store, performance_result(window(START_MS - (30 - day) * DAY_MS), degraded=degraded))
    registry: Any = RegistryOf()
    assert Trigger("test", store, registry, POLICIES, ManualClock(NOW_MS)).consider(ENDPOINT)
    return store


IDS = [
    f"card-fraud/drift-{window(START_MS).name}",
    f"card-fraud/drift-{window(START_MS + 2 * DAY_MS).name}",
    f"card-fraud/performance-{window(START_MS - 30 * DAY_MS).name}-1",
    "card-fraud-000001",
]


def announcements(store: Any, announcer: Any, now_ms: int = NOW_MS) -> MonitoringAnnouncements:
    return MonitoringAnnouncements("test", store, announcer, POLICIES, PLACE, ManualClock(now_ms))


def test_everything_that_somebody_must_hear_is_announced_once() -> None:
    store, announcer = filled(), MemoryAnnouncer()
    assert announcements(store, announcer).catch_up(ENDPOINT) == 4
    assert [told.id for told in announcer.announced] == IDS
    assert announcements(store, announcer).catch_up(ENDPOINT) == 0
    assert announcements(store, announcer, NOW_MS + 300 * DAY_MS).catch_up(ENDPOINT) == 0
    put_drift(store, drift_result(window(START_MS - 2 * DAY_MS), finding(), revision=2))
    put_drift(store, drift_result(window(START_MS), finding(), finding(feature="age"), revision=2))
    assert announcements(store, announcer).catch_up(ENDPOINT) == 1, "late records made one more window alarm"
    assert announcer.announced[-1].id == f"card-fraud/drift-{window(START_MS - 2 * DAY_MS).name}"


OTHER = "card-fraud@8"


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ("!!!!", [0]),
        (".!!.!!!", [1, 4]),
        ("! !", [0]),
        ("!       !", [0, 8]),
        ("!e!", [0]),
        ("!o!", [0]),
        ("!b!", [0, 1]),
        ("ob!", [1]),
    ],
    ids=[
        "goes on", "comes back", "over a window that nobody judged", "after a long gap", "over an empty window",
        "over a quiet window of another model version", "joined by another model version", "another first",
    ],
)  # fmt: skip
def test_drift_is_told_when_it_begins_and_not_while_it_goes_on(days: str, told: list[int]) -> None:
    """! is an alarm of the champion, b of another model version too, o none of the other, . none, e a window without rows."""
    store, announcer = MemoryMonitoringStore(), MemoryAnnouncer()
    found = {
        "!": [finding()], ".": [finding(alarm=False)], "e": [],
        "o": [finding(OTHER, alarm=False)], "b": [finding(), finding(OTHER)],
    }  # fmt: skip
    for day, kind in enumerate(days):
        if kind != " ":
            put_drift(store, drift_result(window(START_MS + day * DAY_MS), *found[kind]))
        # Whether windows are judged one by one or caught up with makes no difference
        if day % 2:
            announcements(store, announcer, START_MS + 10 * DAY_MS).catch_up(ENDPOINT)
    announcements(store, announcer, START_MS + 10 * DAY_MS).catch_up(ENDPOINT)
    names = [f"card-fraud/drift-{window(START_MS + day * DAY_MS).name}" for day in told]
    assert [news.id for news in announcer.announced] == names


def test_an_endpoint_without_a_policy_is_none() -> None:
    with pytest.raises(NotFound, match="no drift policy"):
        announcements(filled(), MemoryAnnouncer()).catch_up("loans")


class Killed(BaseException):
    """What a process that is killed raises: nothing catches it."""


class Failing:
    """A store and an announcer of which one call, whichever it is, fails before it does anything or after."""

    def __init__(self, store: MemoryMonitoringStore, at: int, error: BaseException, *, after: bool) -> None:
        self.announcer = MemoryAnnouncer()
        self.calls = 0
        self._store, self._at, self._error, self._after = store, at, error, after

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.announcer if name == "announce" else self._store, name)

        def called(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            fails = self.calls == self._at
            if fails and not self._after:
                raise self._error
            answer = call(*arguments, **more)
            if fails:
                raise self._error
            return answer

        return called


def calls_of_a_run() -> int:
    counting = Failing(filled(), 0, Killed(), after=False)
    announcements(counting, counting).catch_up(ENDPOINT)
    return counting.calls


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("error", [Killed(), Unavailable("Gone.")], ids=["killed", "unavailable"])
@pytest.mark.parametrize("at", range(1, calls_of_a_run() + 1))
def test_stopped_at_any_call_nothing_is_left_out_and_what_is_repeated_is_the_same(
    at: int, error: BaseException, after: bool
) -> None:
    failing = Failing(filled(), at, error, after=after)
    with pytest.raises(type(error)):
        announcements(failing, failing).catch_up(ENDPOINT)
    announcements(failing, failing).catch_up(ENDPOINT)
    told = failing.announcer.announced
    assert list(dict.fromkeys(one.id for one in told)) == IDS
    by_id = {one.id: one for one in told}
    assert all(by_id[one.id] == one for one in told)
    assert len(told) <= len(IDS) + 1, "one at most is announced twice"


# -- events --


def told_by(store: MemoryMonitoringStore) -> list[Announcement]:
    announcer = MemoryAnnouncer()
    announcements(store, announcer).catch_up(ENDPOINT)
    return announcer.announced


def test_each_event_has_its_detail_type_a_version_its_id_and_its_evidence() -> None:
    drift, _, performance, request = told_by(filled())
    assert [event.detail_type for one in (drift, performance, request) for event in one.events] == [
        DetailType.DRIFT_DETECTED,
        DetailType.PERFORMANCE_DEGRADED,
        DetailType.RETRAIN_REQUESTED,
    ]
    found = DriftDetail.model_validate_json(drift.events[0].detail)
    assert (found.schema_version, found.id, found.stage, found.alarms) == (1, drift.id, "test", 1)
    assert found.findings[0].feature == "amount"
    assert found.findings[0].effect == 0.11
    name = window(START_MS).name
    assert found.document == f"s3://archive-1/monitoring/drift/card-fraud/{name}.json"
    assert found.page == f"s3://archive-1/monitoring/report/card-fraud/{name}.html"
    degraded = PerformanceDetail.model_validate_json(performance.events[0].detail)
    assert (degraded.id, degraded.auc, degraded.reference_auc) == (performance.id, 0.71, 0.8)
    asked = RetrainRequest.model_validate_json(request.events[0].detail)
    assert (asked.id, asked.schema_version) == (request.id, 1)
    assert asked.evidence[-1].window == window(START_MS + 2 * DAY_MS).name


def test_an_event_fits_however_much_has_moved() -> None:
    long = finding().model_copy(update={"sentence": "ü" * 10_000})
    result = drift_result(window(START_MS), *[long] * 1_000).model_copy(
        update={"notes": ("n" * 9_000,) * 1_000}
    )
    told = drift_announcement(result, "test", PLACE)
    assert len(told.events[0].detail.encode()) < 200_000
    assert len(told.text.encode()) < 200_000
    detail = json.loads(told.events[0].detail)
    assert (detail["alarms"], len(detail["findings"])) == (1_000, MAX_FINDINGS)
    assert f"- and {1_000 - TOLD_FINDINGS} more" in told.text


# -- messages --


def test_a_message_of_drift_says_what_moved_and_where_to_look() -> None:
    told = told_by(filled())[0]
    assert told.subject == "[test] card-fraud: drift, amount first of 1 in alarm"
    name = window(START_MS).name
    for words in (
        "- card-fraud@1, amount: the distribution moved, PSI 0.11 (limit 0.02), p < 0.0001",
        f"Pictures: s3://archive-1/monitoring/report/card-fraud/{name}.html",
        f"https://eu-central-1.console.aws.amazon.com/s3/object/archive-1?prefix=monitoring%2Freport%2Fcard-fraud%2F{name}.html",
        "quicksilver drift report --endpoint card-fraud --stage test --html drift.html",
        "Rows: 1,000",
    ):
        assert words in told.text


def test_a_message_of_performance_says_how_much_worse_and_of_how_many_outcomes() -> None:
    told = told_by(filled())[2]
    assert told.subject == "[test] card-fraud: the performance of card-fraud@1 has degraded"
    assert "- card-fraud@1: AUC 0.71, at training 0.80" in told.text
    assert "With outcomes: 900, 90 of them bad" in told.text
    assert "quicksilver performance report --endpoint card-fraud" in told.text


def test_a_message_of_a_request_says_why_and_that_nobody_is_answered_by_it() -> None:
    told = told_by(filled())[3]
    assert told.subject == "[test] card-fraud: a new model is asked for"
    for words in (
        "Why: The latest window has an alarm of card-fraud@1.",
        "By: the schedule",
        "It answers nobody until a person has approved it",
        "quicksilver retrain show card-fraud-000001 --stage test",
    ):
        assert words in told.text


def test_a_subject_is_what_sns_takes_whatever_the_feature_is_called() -> None:
    moved = finding(feature="größe_" * 30)
    subject = drift_announcement(drift_result(window(START_MS), moved), "test", PLACE).subject
    assert len(subject) == MAX_SUBJECT
    assert subject.isascii()
    assert subject.isprintable()


def test_a_document_that_is_something_else_is_said() -> None:
    store = filled()
    store.put(Kind.RETRAIN, ENDPOINT, "card-fraud-000002", b"{}")
    with pytest.raises(Unavailable, match="no RetrainRequest"):
        told_by(store)
