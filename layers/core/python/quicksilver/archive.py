"""The archive: records in S3 as JSON Lines, and as SQL tables: ``predictions``, ``shadow_scores``, ``outcomes``.

A table's columns are generated from its record, so that it cannot fall behind it. A record of an earlier
schema has null where it lacks a column or a member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from quicksilver.outcomes import KeptOutcome
from quicksilver.prediction import PredictionRecord
from quicksilver.shadow_score import ShadowScore

PREDICTIONS_PREFIX = "predictions/"
"""Where the stream's records are delivered in the archive bucket."""

SHADOW_PREFIX = "shadow/"
"""Where the shadow function leaves its scores, in a folder per UTC hour."""

OUTCOMES_PREFIX = "outcomes/"
"""Where outcomes are."""

UNDELIVERED_PREFIX = "undelivered/"
"""Where records wait that the stream did not take."""

_SCALARS = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


@dataclass(frozen=True, slots=True)
class ArchiveTable:
    """A SQL table of what lies under one prefix. ``columns`` are names and SQL types; all tables have a ``time``.

    It has one row for each ``key`` (SQL expressions; null is a value like any other): deliveries and batches are repeated, and of rows with the same key the latest by
    ``time`` counts. ``by_hour`` says that objects lie in a folder for the UTC hour, ``yyyy/MM/dd/HH/``, they begin in.
    """

    name: str
    prefix: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    by_hour: bool


def _record_columns(record: type[BaseModel]) -> dict[str, str]:
    """Each column of a record's table and its SQL type, in the record's order."""
    columns = _columns(record)
    # ISO-8601 texts in the records, UTC.
    return columns | {name: "TIMESTAMP" for name in ("time", "event_time") if name in columns}


def _columns(model: type[BaseModel]) -> dict[str, str]:
    return {name: _sql_type(field.annotation) for name, field in model.model_fields.items()}


def _sql_type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _sql_type(arguments[0])
    if origin is Literal:
        return _SCALARS[type(arguments[0])]
    if origin in (Union, UnionType):
        kinds = [argument for argument in arguments if argument is not type(None)]
        if len(kinds) == 1:
            return _sql_type(kinds[0])
        # One of several shapes: a column for each of their members, null in those without it.
        return _struct({name: kind for shape in kinds for name, kind in _columns(shape).items()})
    if origin is tuple:
        return f"{_sql_type(arguments[0])}[]"
    if origin is dict:
        return f"MAP({_sql_type(arguments[0])}, {_sql_type(arguments[1])})"
    if issubclass(annotation, Enum):
        return "VARCHAR"
    if issubclass(annotation, BaseModel):
        return _struct(_columns(annotation))
    return _SCALARS[annotation]


def _struct(columns: dict[str, str]) -> str:
    members = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    return f"STRUCT({members})"


PREDICTIONS = ArchiveTable(
    "predictions", PREDICTIONS_PREFIX, _record_columns(PredictionRecord), ("prediction_id",), by_hour=True
)
SHADOW_SCORES = ArchiveTable(
    "shadow_scores", SHADOW_PREFIX, _record_columns(ShadowScore), ("prediction_id", "model"), by_hour=True
)
OUTCOMES = ArchiveTable(
    "outcomes",
    OUTCOMES_PREFIX,
    _record_columns(KeptOutcome),
    # What names its prediction (``Outcome.subject``): an entity that is named beside an id says nothing more.
    ("prediction_id", "CASE WHEN prediction_id IS NULL THEN entity_id END", "event_time"),
    by_hour=False,
)
TABLES: Mapping[str, ArchiveTable] = {table.name: table for table in (PREDICTIONS, SHADOW_SCORES, OUTCOMES)}
"""Every table of the archive, by name."""
