"""Announcements on AWS: events on an EventBridge bus, and a message on an SNS topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.announcements import SOURCE
from quicksilver.errors import Unavailable
from quicksilver.ports import Announcement


class AwsAnnouncer:
    """``events`` and ``sns`` are boto3 clients; ``bus`` is a name and ``topic`` an ARN."""

    def __init__(self, events: Any, bus: str, sns: Any, topic: str) -> None:
        self._events, self._bus = events, bus
        self._sns, self._topic = sns, topic

    def announce(self, announcement: Announcement) -> None:
        entries = [
            {
                "EventBusName": self._bus,
                "Source": SOURCE,
                "DetailType": event.detail_type,
                "Detail": event.detail,
            }
            for event in announcement.events
        ]
        answer = _available(lambda: self._events.put_events(Entries=entries))
        # The call succeeds all the same where some of its events are not taken.
        if answer["FailedEntryCount"]:
            codes = sorted({entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry})
            raise Unavailable(f"The event bus did not take {announcement.id}: {', '.join(codes)}.")
        attributes = {"id": announcement.id, "endpoint": announcement.endpoint}
        _available(
            lambda: self._sns.publish(
                TopicArn=self._topic,
                Subject=announcement.subject,
                Message=announcement.text,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
        )


def _available(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"An announcement was not taken: {type(error).__name__}.") from error
