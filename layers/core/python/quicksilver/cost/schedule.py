"""Schedules as EventBridge and Application Auto Scaling write them: how often they come, and when in a week.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import re
from decimal import Decimal

from quicksilver.errors import FieldError, InvalidInput

MINUTES_A_WEEK = 7 * 24 * 60
MINUTES_A_MONTH = 730 * 60

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 24 * 60}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def runs_a_month(expression: str) -> Decimal:
    """How often a schedule comes in a month of 730 hours. Raises ``InvalidInput`` for one that is not understood."""
    rate = _RATE.fullmatch(expression)
    if rate and int(rate[1]) > 0:
        return Decimal(MINUTES_A_MONTH) / (int(rate[1]) * _MINUTES[rate[2]])
    return Decimal(len(minutes_of_week(expression)) * MINUTES_A_MONTH) / MINUTES_A_WEEK


def minutes_of_week(expression: str) -> list[int]:
    """When a cron expression comes in each week, in minutes from Sunday 00:00, in order.

    Raises ``InvalidInput`` for one that differs from week to week, or is not understood.
    """
    cron = _CRON.fullmatch(expression)
    if cron is None or any(cron[part] not in ("*", "?") for part in (3, 4, 6)):
        raise _not_understood(expression)
    minutes, hours = (_values(cron[part], 0, most, expression) for part, most in ((1, 59), (2, 23)))
    days = _values(_numbered(cron[5]), 1, 7, expression)
    return [((day - 1) * 24 + hour) * 60 + minute for day in days for hour in hours for minute in minutes]


def _numbered(days: str) -> str:
    for number, name in enumerate(_DAYS, 1):
        days = days.replace(name, str(number))
    return days


def _values(text: str, least: int, most: int, expression: str) -> list[int]:
    """The values of one field: ``*``, ``7``, ``1-5``, ``*/15`` and lists of these."""
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if span in ("*", "?"):
            first, last = str(least), str(most)
        if not all(word.isascii() and word.isdigit() for word in (first, last or first, step or "1")):
            raise _not_understood(expression)
        low, high = int(first), int(last or (most if step else first))
        if not least <= low <= high <= most or step == "0":
            raise _not_understood(expression)
        found.update(range(low, high + 1, int(step or 1)))
    return sorted(found)


def _not_understood(expression: str) -> InvalidInput:
    return InvalidInput(
        "A schedule cannot be priced.",
        [FieldError(expression, "is no rate, and no cron expression that is the same every week")],
    )
