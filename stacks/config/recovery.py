"""Tables that the stage uses in the place of those that its own stack has made."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from stacks.config.setting import Setting, require

_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoredTables(Setting):
    """By store, the name of a table that has been restored to a point in time, which DynamoDB only does under a new name.

    The stack keeps the table that it has made, as it is, and everything else turns to the restored one. Take a name out again
    and everything turns back.
    """

    features: str | None = None
    registry: str | None = None
    idempotency: str | None = None
    rollup: str | None = None
    announcements: str | None = None

    def __post_init__(self) -> None:
        given = {item.name: name for item in fields(self) if (name := getattr(self, item.name)) is not None}
        for store, name in given.items():
            require(
                _TABLE.fullmatch(name) is not None,
                f"The restored table {store} is named {name!r}; a table has 3 to 255 letters, digits, _, - and dots.",
            )
        require(len(set(given.values())) == len(given), "One restored table is named for two stores.")


NONE_RESTORED = RestoredTables()
