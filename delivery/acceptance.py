"""Known vulnerabilities that somebody has decided to live with, for a reason and until a day: ``accepted.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from delivery.vulnerabilities import Vulnerability

FILE = Path(__file__).with_name("accepted.toml")


class NotReadable(Exception):
    """The file says what it may not; the message is one sentence."""


class Accepted(BaseModel):
    """``until`` is the last day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    package: str = Field(min_length=1)
    reason: str = Field(min_length=10)
    until: date


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accepted: tuple[Accepted, ...] = ()


def read(text: str) -> tuple[Accepted, ...]:
    """Raises ``NotReadable``."""
    try:
        return _File.model_validate(tomllib.loads(text)).accepted
    except tomllib.TOMLDecodeError as error:
        raise NotReadable(f"accepted.toml is no TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise NotReadable(f"accepted.toml: {field}: {first['msg'].lower()}.") from None


def findings(found: Iterable[Vulnerability], accepted: Iterable[Accepted], today: date) -> Iterator[str]:
    """A sentence for each vulnerability that nobody has accepted, and for each acceptance that is over or of nothing."""
    left = {(item.package, item.id): item for item in accepted}
    had = set()
    for known in found:
        agreed = left.get((known.package, known.id))
        if agreed is None or agreed.until < today:
            yield str(known) if agreed is None else f"{known} It was accepted until {agreed.until}."
        had.add((known.package, known.id))
    for item in left.values():
        if (item.package, item.id) not in had:
            yield f"{item.id} is accepted and no version of {item.package} has it; take it out of accepted.toml."
