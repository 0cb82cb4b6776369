"""What every cursor of announcements and every announcer promise."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quicksilver.aws.announcer import AwsAnnouncer
from quicksilver.aws.dynamodb_announcement_cursor import DynamoDBAnnouncementCursor
from quicksilver.errors import Unavailable
from quicksilver.ports import Announcement, AnnouncementCursor, Announcer, Event

everywhere_but_lean = pytest.mark.parametrize(
    "make_client",
    ["memory", "moto", pytest.param("emulator", marks=pytest.mark.integration)],
    indirect=True,
)
"""The lean clients are the score function's, which announces nothing."""

TOLD = Announcement(
    id="card-fraud/7",
    endpoint="card-fraud",
    events=(
        Event("RolloutDecision", '{"id": "card-fraud/7"}'),
        Event("RouteChanged", '{"id": "card-fraud/7"}'),
    ),
    subject="[test] card-fraud: rollout 2 advanced",
    text="It went on.\n\nWhy: all is well — 25 %.",
)


@everywhere_but_lean
def test_a_cursor_begins_before_the_first_entry(announcement_cursor: AnnouncementCursor) -> None:
    assert announcement_cursor.position("card-fraud") == 0


@everywhere_but_lean
def test_each_endpoint_has_its_own_position(announcement_cursor: AnnouncementCursor) -> None:
    announcement_cursor.move("card-fraud", 3)
    assert announcement_cursor.position("card-fraud") == 3
    assert announcement_cursor.position("credit-line") == 0


@everywhere_but_lean
def test_a_cursor_never_goes_back(announcement_cursor: AnnouncementCursor) -> None:
    for number in (9, 10, 8, 10):
        announcement_cursor.move("card-fraud", number)
    assert announcement_cursor.position("card-fraud") == 10


@everywhere_but_lean
def test_of_many_runs_at_once_the_one_that_came_furthest_counts(
    announcement_cursor: AnnouncementCursor,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: announcement_cursor.move("card-fraud", number), [*range(1, 13)] * 2))
    assert announcement_cursor.position("card-fraud") == 12


@everywhere_but_lean
def test_an_announcement_is_taken(announcer: Announcer) -> None:
    announcer.announce(TOLD)
    announcer.announce(TOLD)


# -- on AWS, what the fake does not show --


class Bus:
    """An EventBridge client that remembers, and refuses some of the entries it is given."""

    def __init__(self, refused: int = 0) -> None:
        self.entries: list[dict[str, Any]] = []
        self._refused = refused

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's word
        self.entries += Entries
        refused = [{"ErrorCode": "ThrottlingException", "ErrorMessage": "Slow down."}] * self._refused
        taken = [{"EventId": "e"} for _ in Entries[self._refused :]]
        return {"FailedEntryCount": self._refused, "Entries": [*refused, *taken]}


class Topic:
    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []

    def publish(self, **message: Any) -> None:
        self.published.append(message)


def test_events_carry_source_and_detail_type_and_the_message_its_id() -> None:
    bus, topic = Bus(), Topic()
    AwsAnnouncer(bus, "default", topic, "arn:topic").announce(TOLD)
    assert [(entry["Source"], entry["DetailType"]) for entry in bus.entries] == [
        ("quicksilver", "RolloutDecision"),
        ("quicksilver", "RouteChanged"),
    ]
    assert json.loads(bus.entries[0]["Detail"]) == {"id": "card-fraud/7"}
    (message,) = topic.published
    assert (message["Subject"], message["Message"]) == (TOLD.subject, TOLD.text)
    assert message["MessageAttributes"]["id"] == {"DataType": "String", "StringValue": "card-fraud/7"}


def test_an_event_that_the_bus_does_not_take_is_not_taken_for_announced() -> None:
    topic = Topic()
    with pytest.raises(Unavailable, match=r"card-fraud/7: ThrottlingException"):
        AwsAnnouncer(Bus(refused=1), "default", topic, "arn:topic").announce(TOLD)
    assert topic.published == []


@everywhere_but_lean
def test_a_topic_that_is_not_there_is_unavailable(make_client: Any) -> None:
    if make_client is None:
        pytest.skip("there is no topic in memory")
    sns = make_client("sns")
    missing = "arn:aws:sns:us-east-1:000000000000:nothing-there"
    with pytest.raises(Unavailable, match="was not taken"):
        AwsAnnouncer(make_client("events"), "default", sns, missing).announce(TOLD)


@everywhere_but_lean
def test_a_table_that_is_not_there_is_unavailable(make_client: Any) -> None:
    if make_client is None:
        pytest.skip("there is no table in memory")
    cursor = DynamoDBAnnouncementCursor(make_client("dynamodb"), "nothing-there")
    with pytest.raises(Unavailable, match="cannot be reached"):
        cursor.position("card-fraud")
    with pytest.raises(Unavailable, match="cannot be reached"):
        cursor.move("card-fraud", 1)
