"""Announcements follow the history: nothing is left out, whoever is killed, and what comes twice has the same id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.announcements import (
    MAX_DETAILS_BYTES,
    MAX_SUBJECT,
    Announcements,
    Detail,
    DetailType,
    announcement,
)
from quicksilver.errors import Unavailable
from quicksilver.guard_policy import Guards
from quicksilver.history import GENESIS, Action, Entry
from quicksilver.memory import MemoryAnnouncementCursor, MemoryAnnouncer
from quicksilver.ports import Announcement
from quicksilver.rollout.look import Verdict
from quicksilver.rollout_registry import Rollouts
from tests.approvals import ADA, GRACE, bring_to_approved
from tests.rollouts import ROBOT, a_look, a_reading

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench

ENDPOINT = "card-fraud"


def entry(**facts: Any) -> Entry:
    usual: dict[str, Any] = {
        "endpoint": ENDPOINT,
        "number": 7,
        "previous_sha256": GENESIS,
        "action": Action.APPROVED,
        "subject": "card-fraud@2",
        "who": GRACE,
        "at": "2026-11-26T10:00:00.000Z",
        "reason": "It is better.",
    }
    return Entry(**{**usual, **facts})


class Killed(BaseException):
    """What a process that is killed raises: nothing catches it."""


class Failing:
    """A cursor and an announcer that fail at one of their calls."""

    def __init__(self, at: int, error: BaseException, *, after: bool) -> None:
        self.cursor, self.announcer = MemoryAnnouncementCursor(), MemoryAnnouncer()
        self._left, self._error, self._after = at, error, after

    def _call(self, call: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise self._error
        answer = call()
        if self._left == 0:
            raise self._error
        return answer

    def position(self, endpoint: str) -> int:
        return self._call(lambda: self.cursor.position(endpoint))

    def move(self, endpoint: str, number: int) -> None:
        self._call(lambda: self.cursor.move(endpoint, number))

    def announce(self, announcement: Announcement) -> None:
        self._call(lambda: self.announcer.announce(announcement))


def test_everything_the_history_says_is_announced_in_its_order_and_once(bench: Bench) -> None:
    announcer = MemoryAnnouncer()
    announcements = Announcements("test", bench.registry_store, MemoryAnnouncementCursor(), announcer)
    entries = bench.registry.history(ENDPOINT)
    assert announcements.catch_up(ENDPOINT) == len(entries) == 4
    assert [told.id for told in announcer.announced] == [f"card-fraud/{number}" for number in (1, 2, 3, 4)]
    assert announcements.catch_up(ENDPOINT) == 0
    bench.registry.set_route(
        ENDPOINT, bench.registry.current_route(ENDPOINT).arms, reason="Again.", who=GRACE
    )
    assert announcements.catch_up(ENDPOINT) == 1
    assert announcer.announced[-1].events[0].detail_type == DetailType.ROUTE_CHANGED


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("error", [Killed(), Unavailable("Gone.")], ids=["killed", "unavailable"])
@pytest.mark.parametrize("at", range(1, 10))
def test_stopped_at_any_call_nothing_is_left_out_and_what_is_repeated_has_its_id(
    bench: Bench, at: int, error: BaseException, after: bool
) -> None:
    failing = Failing(at, error, after=after)
    announcements = Announcements("test", bench.registry_store, failing, failing)
    with pytest.raises(type(error)):
        announcements.catch_up(ENDPOINT)
    announcements.catch_up(ENDPOINT)
    told = failing.announcer.announced
    assert list(dict.fromkeys(one.id for one in told)) == [f"card-fraud/{number}" for number in (1, 2, 3, 4)]
    by_id = {one.id: one for one in told}
    assert all(by_id[one.id] == one for one in told)
    assert len(told) <= 5, "one entry at most is announced twice"
    assert failing.cursor.position(ENDPOINT) == 4


def test_a_long_history_is_announced_to_its_end(bench: Bench) -> None:
    arms = bench.registry.current_route(ENDPOINT).arms
    for _ in range(150):
        bench.registry.set_route(ENDPOINT, arms, reason="Again.", who=GRACE)
    announcer = MemoryAnnouncer()
    announcements = Announcements("test", bench.registry_store, MemoryAnnouncementCursor(), announcer)
    assert announcements.catch_up(ENDPOINT) == 154
    assert len({told.id for told in announcer.announced}) == 154


# -- events --


def details_of(told: Announcement) -> list[Detail]:
    return [Detail.model_validate_json(event.detail) for event in told.events]


def kinds(told: Announcement) -> list[str]:
    return [event.detail_type for event in told.events]


def test_a_decision_on_a_rollout_is_announced_with_its_numbers(bench: Bench, second_package: Package) -> None:
    bench.artifacts.put(second_package.sha256, second_package.files)
    canary = bring_to_approved(bench.registry, second_package)
    rollouts = Rollouts(bench.registry)
    plan: Any = {
        "steps_bp": (100, 2_500, 10_000),
        "bake_seconds": 60,
        "guards": Guards(),
        "reason": "Better.",
    }
    rollouts.start(ENDPOINT, canary, who=GRACE, **plan)
    look = a_look(
        Verdict.ROLL_BACK, guards=(a_reading("error_rate", canary=0.0213),), reason="Too many errors."
    )
    rollouts.decide(ENDPOINT, 2, a_look(Verdict.HOLD), who=ROBOT)
    rollouts.decide(ENDPOINT, 2, look, who=ROBOT)
    started, held, rolled_back = (
        announcement(said, "test") for said in bench.registry.history(ENDPOINT)[-3:]
    )
    assert kinds(started) == [DetailType.ROUTE_CHANGED]
    assert kinds(held) == [DetailType.ROLLOUT_DECISION]
    assert kinds(rolled_back) == [DetailType.ROLLOUT_DECISION, DetailType.ROUTE_CHANGED]
    detail = details_of(rolled_back)[0]
    assert detail.details is not None
    assert detail.details["rollout"]["look"] == look.model_dump(mode="json")
    assert detail.details["route"]["number"] == 3
    assert rolled_back.subject == "[test] card-fraud: rollout 2 rolled back; card-fraud@1 100 %"
    assert "Why: Too many errors." in rolled_back.text
    assert "- The error rate is within its limit." in rolled_back.text
    assert held.subject == "[test] card-fraud: rollout 2 holds"
    assert started.subject == "[test] card-fraud: rollout 2 started; card-fraud@1 99 %, card-fraud@2 1 %"


def test_an_experiment_is_announced_by_what_its_route_did_to_it() -> None:
    arms = [{"model": "card-fraud@1", "share_bp": 9_000}, {"model": "card-fraud@2", "share_bp": 1_000}]
    facts = {"experiment": {"number": 9, "move": "started"}, "route": {"arms": arms}}
    told = announcement(entry(action=Action.ROUTED, subject="route 9", details=facts), "test")
    assert told.subject == "[test] card-fraud: experiment 9 started; card-fraud@1 90 %, card-fraud@2 10 %"
    assert [event.detail_type for event in told.events] == [DetailType.ROUTE_CHANGED]


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.ROUTED])
def test_what_changes_no_route_is_announced_too(action: Action) -> None:
    told = announcement(entry(action=action), "test")
    assert kinds(told) == [DetailType.REGISTRY_CHANGED]
    assert "It is better." in told.text


def test_an_event_says_what_schema_its_detail_has_and_is_bound_to_its_entry() -> None:
    said = entry(details={"signature": "s"})
    (event,) = announcement(said, "prod").events
    detail = json.loads(event.detail)
    assert (detail["schema_version"], detail["id"], detail["stage"]) == (1, "card-fraud/7", "prod")
    assert (detail["entry_sha256"], detail["details"]) == (said.sha256, {"signature": "s"})


@pytest.mark.parametrize(("extra", "kept"), [(0, True), (1, False)])
def test_details_that_fit_no_event_are_left_to_the_history(extra: int, kept: bool) -> None:
    frame = len(json.dumps({"text": ""}))
    details = {"text": "x" * (MAX_DETAILS_BYTES - frame + extra)}
    (detail,) = details_of(announcement(entry(details=details), "test"))
    assert (detail.details == details) is kept
    assert (detail.details is None) is not kept


# -- messages --


def test_a_subject_is_what_sns_takes_whatever_the_subject_of_the_entry() -> None:
    subject = announcement(entry(subject="Grüße\n" * 60), "test").subject
    assert len(subject) == MAX_SUBJECT
    assert subject.isascii()
    assert subject.isprintable()


def test_a_message_says_who_when_why_and_where_to_look() -> None:
    text = announcement(entry(who=ADA, reason=""), "prod").text
    for fact in (
        ADA,
        "2026-11-26T10:00:00.000Z",
        "no reason is given",
        "Stage: prod; entry 7 of the history",
    ):
        assert fact in text
