"""Files of outcomes: taken whole or not at all, with the line and the field of every fault. Never in a layer."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quicksilver.contract import contract_field_errors
from quicksilver.errors import FieldError, InvalidData
from quicksilver.outcomes import Acceptance, Outcome

GROUP_COLUMN = "group."
"""How a CSV column of a protected attribute begins: ``group.age_band``."""

MAX_FAULTS = 20
"""Faults that are named; a file with more is refused with the first of them."""


def read_outcomes(file: Path, *, now_ms: int) -> list[Outcome]:
    """Every outcome of a CSV file with a header, or of a JSON Lines file, by its ending.

    Raises ``InvalidData`` naming line and field of each fault: a value that is none, a time to come, or two labels of
    one prediction at one time.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return _checked(_rows(file, lines), Acceptance(now_ms))
    except OSError as error:
        raise InvalidData(
            "The file of outcomes cannot be read.", [_fault(str(file), str(error.strerror))]
        ) from None
    except UnicodeDecodeError:
        raise InvalidData(
            "The file of outcomes cannot be read.", [_fault(str(file), "is not UTF-8")]
        ) from None


def _rows(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Each row's line number and content; for a line that is none, the error."""
    match file.suffix.lower():
        case ".csv":
            return _csv_rows(lines)
        case ".jsonl" | ".ndjson":
            return _json_rows(lines)
        case _:
            raise InvalidData(
                "The file of outcomes cannot be read.", [_fault(str(file), "must end with .csv or .jsonl")]
            )


def _csv_rows(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        names = list(reader.fieldnames or ())
        if len(set(names)) < len(names):
            raise InvalidData(
                "The file of outcomes has a column twice.", [_fault("line 1", ", ".join(names))]
            )
        for row in reader:
            if None in row or None in row.values():
                yield reader.line_num, ValueError(f"has not {len(names)} cells, as the header has")
            else:
                yield reader.line_num, _content(row)
    except csv.Error as error:
        yield reader.reader.line_num, ValueError(f"is no CSV: {error}")


def _content(row: Mapping[str, str]) -> dict[str, Any]:
    """A row as JSON Lines would have it. An empty cell is how CSV says that there is nothing."""
    cells = {name: cell for name, cell in row.items() if cell != ""}
    groups = {
        name.removeprefix(GROUP_COLUMN): cells.pop(name)
        for name in row
        if name.startswith(GROUP_COLUMN) and name in cells
    }
    return {**cells, "groups": groups} if groups else cells


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except ValueError:
            yield number, ValueError("is no JSON")


def _checked(rows: Iterable[tuple[int, Any]], acceptance: Acceptance) -> list[Outcome]:
    faults: list[FieldError] = []
    for number, row in rows:
        line = f"line {number}"
        try:
            outcome = _outcome(line, row)
        except InvalidData as error:
            faults += error.fields
            continue
        faults += [
            _fault(f"{line}: {field}" if field else line, reason)
            for field, reason in acceptance.faults(line, outcome)
        ]
    if faults:
        more = f" The first {MAX_FAULTS} of {len(faults)} faults:" if len(faults) > MAX_FAULTS else ""
        raise InvalidData(
            f"The file of outcomes is not valid; nothing was loaded.{more}", faults[:MAX_FAULTS]
        )
    return acceptance.accepted


def _outcome(line: str, row: Any) -> Outcome:
    if isinstance(row, ValueError):
        raise InvalidData("", [_fault(line, str(row))])
    if not isinstance(row, Mapping):
        raise InvalidData("", [_fault(line, "must be a JSON object")])
    try:
        return Outcome.model_validate(row)
    except ValidationError as error:
        raise InvalidData("", [_of_line(line, fault) for fault in contract_field_errors(error)]) from None


def _of_line(line: str, fault: FieldError) -> FieldError:
    whole = fault.field == "(whole)"
    return _fault(line if whole else f"{line}: {fault.field}", fault.reason)


def _fault(field: str, reason: str) -> FieldError:
    return FieldError(field, reason)
