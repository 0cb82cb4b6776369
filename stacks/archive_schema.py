"""The archive's schema, as committed: what objects that are there already were written by.

    python -m stacks.archive_schema

writes ``docs/schemas/archive.json`` from the records, unless old objects could not be read any more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quicksilver.archive_catalog import incompatibilities, schema
from stacks.config import ConfigError

COMMITTED = Path(__file__).resolve().parents[1] / "docs" / "schemas" / "archive.json"


def check_schema(
    committed: Path = COMMITTED, now: Mapping[str, Mapping[str, str]] | None = None
) -> Mapping[str, Mapping[str, str]]:
    """The records' schema, if every object written under the committed one can be read by it.

    Raises ``ConfigError`` with one sentence for each column that keeps them from it.
    """
    now = schema() if now is None else now
    old: dict[str, Any] = json.loads(committed.read_text()) if committed.exists() else {}
    if found := incompatibilities(old, now):
        raise ConfigError(" ".join(found))
    return now


def main() -> None:
    try:
        now = check_schema()
    except ConfigError as error:
        sys.exit(str(error))
    COMMITTED.write_text(json.dumps(now, indent=2) + "\n")


if __name__ == "__main__":
    main()
