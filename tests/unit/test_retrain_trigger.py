"""A new model is asked for when the policy says so, once, and by nothing that is not about the champion."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import boto3
import pytest
from hypothesis import given, settings, strategies as st
from moto import mock_aws

from quicksilver.aws.s3_monitoring import S3MonitoringStore
from quicksilver.drift_policy import BusinessHours
from quicksilver.errors import NotFound, Unavailable
from quicksilver.instants import epoch_ms, utc_iso
from quicksilver.memory import ManualClock, MemoryMonitoringStore
from quicksilver.monitoring import Kind, MonitoringStore
from quicksilver.retraining.request import MAX_EVIDENCE, MAX_SENTENCE, MAX_SENTENCES, RetrainRequest
from quicksilver.retraining.trigger import Trigger
from tests.monitoring_documents import (
    CHAMPION,
    DAY_MS,
    ENDPOINT,
    HOUR_MS,
    RegistryOf,
    drift_policy,
    drift_result,
    finding,
    performance_result,
    put_drift,
    put_performance,
    window,
)

MONDAY_MS = epoch_ms("2026-11-23T00:00:00Z")
SETTLED_MS = 20 * 60_000


def a_trigger(
    store: MonitoringStore, now_ms: int, registry: RegistryOf | None = None, **retraining: object
) -> tuple[Trigger, ManualClock]:
    clock = ManualClock(now_ms)
    policies = {ENDPOINT: drift_policy(**retraining)}
    reading: Any = registry or RegistryOf()
    return Trigger("test", store, reading, policies, clock), clock


def put_windows(store: MonitoringStore, *alarms: bool, first_ms: int = MONDAY_MS) -> int:
    """Windows of a day from a moment on, with an alarm of the champion or without; returns when the last is judged."""
    for day, alarm in enumerate(alarms):
        put_drift(store, drift_result(window(first_ms + day * DAY_MS), finding(alarm=alarm)))
    return first_ms + len(alarms) * DAY_MS + SETTLED_MS


def requests_of(store: MonitoringStore) -> list[RetrainRequest]:
    kept = [store.get(Kind.RETRAIN, ENDPOINT, name) for name in store.names(Kind.RETRAIN, ENDPOINT)]
    return [RetrainRequest.model_validate_json(document or b"") for document in kept]


# -- windows --


def test_the_wanted_number_of_windows_in_a_row_makes_a_request_that_says_why() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, False, True, True, True)
    trigger, _ = a_trigger(store, now_ms)
    request = trigger.consider(ENDPOINT)
    assert request is not None
    assert requests_of(store) == [request]
    assert (request.id, request.champion, request.stage) == ("card-fraud-000001", CHAMPION, "test")
    assert request.reason == "3 windows in a row have an alarm of card-fraud@1."
    assert [one.start for one in request.evidence] == [utc_iso(MONDAY_MS + day * DAY_MS) for day in (1, 2, 3)]
    assert request.evidence[-1].window == window(MONDAY_MS + 3 * DAY_MS).name
    assert request.evidence[-1].sentences == (finding().sentence,)
    assert request.training_set.end == utc_iso(MONDAY_MS + 4 * DAY_MS)
    assert request.training_set.start == utc_iso(MONDAY_MS + 4 * DAY_MS - 90 * DAY_MS)
    assert request.training_set.fingerprint == f"{1:064x}"
    assert request.training_set.fingerprint in request.training_set.sql


@pytest.mark.parametrize(
    "alarms",
    [(), (True,), (True, True), (True, True, False), (True, False, True), (True, True, True, False)],
)
def test_fewer_or_earlier_ones_make_none(alarms: tuple[bool, ...]) -> None:
    store = MemoryMonitoringStore()
    trigger, _ = a_trigger(store, put_windows(store, *alarms))
    assert trigger.consider(ENDPOINT) is None
    assert requests_of(store) == []


def test_a_gap_is_not_jumped() -> None:
    store = MemoryMonitoringStore()
    put_windows(store, True, True)
    now_ms = put_windows(store, True, first_ms=MONDAY_MS + 3 * DAY_MS)
    assert a_trigger(store, now_ms)[0].consider(ENDPOINT) is None
    put_windows(store, True, first_ms=MONDAY_MS + 2 * DAY_MS)
    assert a_trigger(store, now_ms)[0].consider(ENDPOINT) is not None


@pytest.mark.parametrize(
    ("archived", "rolled_up", "counts"), [(949, 1_000, False), (950, 1_000, True), (5, None, True)]
)
def test_a_window_that_the_archive_has_only_a_part_of_does_not_count(
    archived: int, rolled_up: int | None, counts: bool
) -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    middle = window(MONDAY_MS + DAY_MS)
    put_drift(store, drift_result(middle, finding(), archived=archived, rolled_up=rolled_up))
    assert (a_trigger(store, now_ms)[0].consider(ENDPOINT) is not None) is counts


def test_alarms_of_what_is_not_the_champion_any_more_do_not_count() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    assert a_trigger(store, now_ms, RegistryOf("card-fraud@2"))[0].consider(ENDPOINT) is None
    put_drift(store, drift_result(window(MONDAY_MS + DAY_MS), finding("card-fraud@2"), finding(alarm=False)))
    assert a_trigger(store, now_ms)[0].consider(ENDPOINT) is None


def test_windows_of_another_length_or_not_over_yet_are_not_among_them() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    put_drift(store, drift_result(window(MONDAY_MS + 3 * DAY_MS, HOUR_MS), finding(alarm=False)))
    put_drift(store, drift_result(window(MONDAY_MS + 3 * DAY_MS), finding(alarm=False)))
    assert a_trigger(store, now_ms)[0].consider(ENDPOINT) is not None


def test_windows_that_nobody_would_judge_any_more_ask_for_nothing() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    assert a_trigger(store, now_ms + 15 * DAY_MS)[0].consider(ENDPOINT) is None
    assert a_trigger(store, now_ms + 13 * DAY_MS)[0].consider(ENDPOINT) is not None


def test_a_request_fits_an_event_however_many_windows_and_findings_there_are() -> None:
    store = MemoryMonitoringStore()
    long = finding().model_copy(update={"sentence": "ü" * 2_000})
    for day in range(100):
        put_drift(store, drift_result(window(MONDAY_MS + day * DAY_MS), *[long] * 40))
    now_ms = MONDAY_MS + 100 * DAY_MS + SETTLED_MS
    request = a_trigger(store, now_ms, consecutive_windows=100)[0].consider(ENDPOINT)
    assert request is not None
    assert len(request.evidence) == MAX_EVIDENCE
    assert {len(one.sentences) for one in request.evidence} == {MAX_SENTENCES}
    assert {len(one) for evidence in request.evidence for one in evidence.sentences} == {MAX_SENTENCE}
    assert request.evidence[-1].window == window(MONDAY_MS + 99 * DAY_MS).name
    assert request.reason.startswith("100 windows")
    assert len(request.model_dump_json().encode()) < 200_000


# -- performance --


def test_a_degraded_performance_of_the_champion_asks_alone() -> None:
    store = MemoryMonitoringStore()
    put_performance(store, performance_result(window(MONDAY_MS)))
    request = a_trigger(store, MONDAY_MS + 30 * DAY_MS)[0].consider(ENDPOINT)
    assert request is not None
    assert request.reason == "The performance of card-fraud@1 has degraded."
    assert request.evidence[0].kind == "performance"
    assert request.evidence[0].sentences == ("card-fraud@1: AUC 0.71, at training 0.80",)


@pytest.mark.parametrize(
    "later",
    [
        performance_result(window(MONDAY_MS + DAY_MS), degraded=False),
        performance_result(window(MONDAY_MS + DAY_MS), model="card-fraud@2", degraded=False),
        performance_result(window(MONDAY_MS + DAY_MS), ripe=False, degraded=False),
        performance_result(window(MONDAY_MS + DAY_MS), judged=False, degraded=False),
    ],
    ids=["judged", "another's", "unripe", "few labels"],
)
def test_the_latest_judged_window_of_the_champion_says_how_it_performs(later: Any) -> None:
    store = MemoryMonitoringStore()
    put_performance(store, performance_result(window(MONDAY_MS)))
    put_performance(store, later)
    asked = a_trigger(store, MONDAY_MS + 30 * DAY_MS)[0].consider(ENDPOINT)
    assert (asked is None) is (later.model == CHAMPION and later.judged)


# -- once --


def test_nothing_is_asked_again_within_the_cool_down_and_no_window_decides_twice() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    trigger, clock = a_trigger(store, now_ms, cool_down_hours=48)
    assert trigger.consider(ENDPOINT) is not None
    assert trigger.consider(ENDPOINT) is None
    put_windows(store, True, first_ms=MONDAY_MS + 3 * DAY_MS)
    clock.advance_ms(48 * HOUR_MS - 1)
    assert trigger.consider(ENDPOINT) is None
    clock.advance_ms(1)
    again = trigger.consider(ENDPOINT)
    assert again is not None
    assert again.id == "card-fraud-000002"
    clock.advance_ms(72 * HOUR_MS)
    assert trigger.consider(ENDPOINT) is None, "this window has decided already"


def test_a_window_decides_once_without_any_cool_down() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    trigger, clock = a_trigger(store, now_ms, cool_down_hours=0)
    assert trigger.consider(ENDPOINT) is not None
    for _ in range(3):
        clock.advance_ms(HOUR_MS)
        assert trigger.consider(ENDPOINT) is None
    clock.advance_ms(DAY_MS)
    put_windows(store, True, first_ms=MONDAY_MS + 3 * DAY_MS)
    assert trigger.consider(ENDPOINT) is not None


class TogetherStore:
    """A store whose claims wait for each other, so that everybody has looked before anybody writes."""

    def __init__(self, store: MonitoringStore, runs: int) -> None:
        self._store, self._barrier = store, Barrier(runs)
        self._met = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def claim(self, *document: Any) -> bool:
        if self._met < self._barrier.parties:
            self._met += 1
            self._barrier.wait(timeout=30)
        return self._store.claim(*document)


@pytest.mark.parametrize("on", ["memory", "moto"])
def test_of_runs_at_once_one_asks_whatever_evidence_each_has(
    on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on == "memory":
        asked_by_two(MemoryMonitoringStore())
        return
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="archive")
        asked_by_two(S3MonitoringStore(client, "archive"))


def asked_by_two(store: MonitoringStore) -> None:
    now_ms = put_windows(store, True, True, True)
    put_performance(store, performance_result(window(MONDAY_MS - DAY_MS)))
    together: Any = TogetherStore(store, 2)
    # They decide by different evidence: one sees the windows, the other wants more of them and sees the performance.
    one, _ = a_trigger(together, now_ms)
    other, _ = a_trigger(together, now_ms, consecutive_windows=9)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda trigger: trigger.consider(ENDPOINT), (one, other)))
    assert sum(request is not None for request in made) == 1
    assert requests_of(store) == [request for request in made if request]


class Flaky:
    """A store whose call of that number fails, before it does anything or after."""

    def __init__(self, store: MonitoringStore, at: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, at, after

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        def called(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Unavailable("Gone.")
            answer = call(*arguments, **more)
            if self._left == 0:
                raise Unavailable("Gone.")
            return answer

        return called


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 7))
def test_whatever_fails_the_next_run_asks_and_nobody_asks_twice(at: int, after: bool) -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    flaky: Any = Flaky(store, at, after=after)
    trigger, _ = a_trigger(flaky, now_ms)
    with pytest.raises(Unavailable):
        trigger.consider(ENDPOINT)
    for _ in range(2):
        a_trigger(store, now_ms)[0].consider(ENDPOINT)
    assert [request.id for request in requests_of(store)] == ["card-fraud-000001"]


def test_a_document_that_is_something_else_is_said_and_not_passed_over() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    name = window(MONDAY_MS + DAY_MS).name
    store.put(Kind.DRIFT, ENDPOINT, name, b'{"schema_version": 9}')
    with pytest.raises(Unavailable, match=f"drift/card-fraud/{name} is no WindowResult"):
        a_trigger(store, now_ms)[0].consider(ENDPOINT)


# -- when nobody is to be asked --


def test_an_endpoint_that_wants_none_or_has_no_champion_gets_none() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    assert a_trigger(store, now_ms, enabled=False)[0].consider(ENDPOINT) is None
    assert a_trigger(store, now_ms, RegistryOf(None))[0].consider(ENDPOINT) is None
    with pytest.raises(NotFound, match="no drift policy"):
        a_trigger(store, now_ms)[0].consider("loans")


WEEKDAYS = BusinessHours(from_hour=9, until_hour=17, weekdays=(0, 1, 2, 3, 4))
SATURDAY_MS = MONDAY_MS + 5 * DAY_MS


def test_what_asks_at_the_weekend_is_asked_on_monday_even_if_it_is_quiet_by_then() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True, False, False, first_ms=SATURDAY_MS - 3 * DAY_MS)
    assert utc_iso(now_ms) == "2026-11-30T00:20:00.000Z", "a Monday"
    rules = {"business_hours": WEEKDAYS}
    assert a_trigger(store, SATURDAY_MS + SETTLED_MS, **rules)[0].consider(ENDPOINT) is None
    assert a_trigger(store, now_ms, **rules)[0].consider(ENDPOINT) is None
    opened, clock = a_trigger(store, now_ms + 9 * HOUR_MS, **rules)
    request = opened.consider(ENDPOINT)
    assert request is not None
    assert request.evidence[-1].end == utc_iso(SATURDAY_MS)
    assert opened.consider(ENDPOINT) is None
    clock.advance_ms(30 * DAY_MS)
    assert opened.consider(ENDPOINT) is None


def test_what_asked_before_the_last_business_hours_is_over() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True, False, False, first_ms=SATURDAY_MS - 3 * DAY_MS)
    tuesday_ms = now_ms + DAY_MS + 10 * HOUR_MS
    assert a_trigger(store, tuesday_ms, business_hours=WEEKDAYS)[0].consider(ENDPOINT) is None


def test_hours_open_next_when_the_calendar_says() -> None:
    def at(time: str) -> int:
        return round(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() * 1_000)

    for moment, opens, closes in (
        ("2026-11-27T08:59:59", "2026-11-27T09:00", "2026-11-27T17:00"),  # a Friday
        ("2026-11-27T16:59:59", "2026-11-27T09:00", "2026-11-27T17:00"),
        ("2026-11-27T17:00:00", "2026-11-30T09:00", "2026-11-30T17:00"),
        ("2026-12-31T18:00:00", "2027-01-01T09:00", "2027-01-01T17:00"),
    ):
        assert WEEKDAYS.next_open(at(moment)) == (at(opens), at(closes))
    sundays = BusinessHours(from_hour=0, until_hour=1, weekdays=(6,))
    assert sundays.next_open(at("2026-11-29T01:00")) == (at("2026-12-06T00:00"), at("2026-12-06T01:00"))
    assert BusinessHours().next_open(at("2026-11-27T08:59")) == (
        at("2026-11-27T00:00"),
        at("2026-11-28T00:00"),
    )


# -- a person --


def test_a_person_asks_whatever_the_hour_and_begins_the_cool_down() -> None:
    store = MemoryMonitoringStore()
    now_ms = put_windows(store, True, True, True)
    trigger, clock = a_trigger(store, now_ms, business_hours=WEEKDAYS, enabled=True)
    first = trigger.request(ENDPOINT, reason="New merchants.", who="arn:aws:iam::1:user/ada")
    second = trigger.request(ENDPOINT, reason="Again.", who="arn:aws:iam::1:user/ada")
    assert [one.id for one in requests_of(store)] == [first.id, second.id]
    assert (first.evidence, first.requested_by) == ((), "arn:aws:iam::1:user/ada")
    assert first.training_set.end == utc_iso(now_ms)
    clock.advance_ms(9 * HOUR_MS)
    assert trigger.consider(ENDPOINT) is None
    with pytest.raises(NotFound, match="no champion"):
        a_trigger(store, now_ms, RegistryOf(None))[0].request(ENDPOINT, reason="Now.", who="ada")


# -- whatever happens, in whatever order --


@settings(max_examples=150, deadline=None)
@given(data=st.data(), wanted=st.integers(1, 3), cool_down=st.sampled_from([0, 5, 24, 60]))
def test_never_two_requests_within_the_cool_down_nor_one_without_its_windows(
    data: st.DataObject, wanted: int, cool_down: int
) -> None:
    store = MemoryMonitoringStore()
    registry = RegistryOf()
    trigger, clock = a_trigger(
        store, MONDAY_MS, registry, consecutive_windows=wanted, cool_down_hours=cool_down
    )
    for _ in range(data.draw(st.integers(1, 25))):
        step = data.draw(st.sampled_from(["judge", "judge", "wait", "run", "run", "champion"]))
        if step == "judge":
            day = data.draw(st.integers(-3, 3)) + (clock.now_ms() - MONDAY_MS) // DAY_MS
            alarms = data.draw(st.sampled_from([(), ("card-fraud@1",), ("card-fraud@2",)]))
            put_drift(store, drift_result(window(MONDAY_MS + day * DAY_MS), *map(finding, alarms)))
        elif step == "wait":
            clock.advance_ms(data.draw(st.integers(1, 50)) * HOUR_MS)
        elif step == "champion":
            registry.champion = data.draw(st.sampled_from([None, "card-fraud@1", "card-fraud@2"]))
        else:
            made = trigger.consider(ENDPOINT)
            if made:
                assert made.champion == registry.champion
                assert len(made.evidence) == wanted
                ends = [epoch_ms(one.end) for one in made.evidence]
                assert [later - earlier for earlier, later in itertools.pairwise(ends)] == [DAY_MS] * (
                    wanted - 1
                )
                assert ends[-1] <= clock.now_ms()
    kept = requests_of(store)
    at = [epoch_ms(request.requested_at) for request in kept]
    assert all(later - earlier >= cool_down * HOUR_MS for earlier, later in itertools.pairwise(at))
    assert len({request.evidence[-1].window for request in kept}) == len(kept)


@given(alarms=st.lists(st.booleans(), max_size=8), wanted=st.integers(1, 4))
def test_the_same_documents_at_the_same_moment_make_the_same_request(alarms: list[bool], wanted: int) -> None:
    made = []
    for order in (1, -1):
        store = MemoryMonitoringStore()
        for day, alarm in list(enumerate(alarms))[::order]:
            put_drift(store, drift_result(window(MONDAY_MS + day * DAY_MS), finding(alarm=alarm)))
        trigger, _ = a_trigger(store, MONDAY_MS + 9 * DAY_MS, consecutive_windows=wanted)
        made.append(trigger.consider(ENDPOINT))
    assert made[0] == made[1]
    assert (made[0] is not None) is (len(alarms) >= wanted and all(alarms[-wanted:]))
