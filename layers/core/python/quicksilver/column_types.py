"""The types of the archive's columns, made from the records' own annotations, in the words of each engine.

A column is a scalar, a list, a map with text keys, or members by name; any of them may be null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from quicksilver.instants import epoch_ms


class Scalar(StrEnum):
    """A single value, by its name in Hive's words, as Glue and Athena's DDL have them."""

    TEXT = "string"
    INTEGER = "bigint"
    NUMBER = "double"
    BOOLEAN = "boolean"
    MOMENT = "timestamp"  # UTC, without a zone; an ISO-8601 text in the record


@dataclass(frozen=True, slots=True)
class ListOf:
    item: ColumnType


@dataclass(frozen=True, slots=True)
class MapTo:
    """A map by text."""

    value: ColumnType


@dataclass(frozen=True, slots=True)
class Members:
    """Values by name, in order."""

    types: tuple[tuple[str, ColumnType], ...]


ColumnType = Scalar | ListOf | MapTo | Members

_MOMENTS = ("time", "event_time")
_BY_PYTHON = {str: Scalar.TEXT, int: Scalar.INTEGER, float: Scalar.NUMBER, bool: Scalar.BOOLEAN}
_DUCKDB = {
    Scalar.TEXT: "VARCHAR",
    Scalar.INTEGER: "BIGINT",
    Scalar.NUMBER: "DOUBLE",
    Scalar.BOOLEAN: "BOOLEAN",
    Scalar.MOMENT: "TIMESTAMP",
}

_TRINO = {Scalar.TEXT: "varchar", Scalar.MOMENT: "timestamp(3)"}


def columns_of(record: type[BaseModel]) -> dict[str, ColumnType]:
    """The columns of a record's table, in the record's order. Its ``time`` and its ``event_time`` are moments."""
    columns = {name: _type_of(field.annotation) for name, field in record.model_fields.items()}
    return {name: Scalar.MOMENT if name in _MOMENTS else kind for name, kind in columns.items()}


def _type_of(annotation: Any) -> ColumnType:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_of(arguments[0])
    if origin is Literal:
        return _BY_PYTHON[type(arguments[0])]
    if origin in (Union, UnionType):
        kinds = [argument for argument in arguments if argument is not type(None)]
        if len(kinds) == 1:
            return _type_of(kinds[0])
        # One of several shapes: a member for each of their members, null in those without it.
        return _members({name: kind for shape in kinds for name, kind in columns_of(shape).items()})
    if origin is tuple:
        return ListOf(_type_of(arguments[0]))
    if origin is dict:
        return MapTo(_type_of(arguments[1]))
    if issubclass(annotation, Enum):
        return Scalar.TEXT
    if issubclass(annotation, BaseModel):
        return _members(columns_of(annotation))
    return _BY_PYTHON[annotation]


def _members(columns: Mapping[str, ColumnType]) -> Members:
    return Members(tuple(columns.items()))


def duckdb_type(kind: ColumnType) -> str:
    """``STRUCT("model" VARCHAR, ...)``, ``DOUBLE[]`` and so on."""
    match kind:
        case Scalar():
            return _DUCKDB[kind]
        case ListOf(item):
            return f"{duckdb_type(item)}[]"
        case MapTo(value):
            return f"MAP(VARCHAR, {duckdb_type(value)})"
        case Members(types):
            members = (f'"{name}" {duckdb_type(member)}' for name, member in types)
            return f"STRUCT({', '.join(members)})"


def hive_type(kind: ColumnType) -> str:
    """``struct<model:string,...>``, ``array<double>`` and so on."""
    match kind:
        case Scalar():
            return kind.value
        case ListOf(item):
            return f"array<{hive_type(item)}>"
        case MapTo(value):
            return f"map<string,{hive_type(value)}>"
        case Members(types):
            members = (f"{name}:{hive_type(member)}" for name, member in types)
            return f"struct<{','.join(members)}>"


def trino_type(kind: ColumnType) -> str:
    """``row("model" varchar, ...)``, ``array(double)`` and so on."""
    match kind:
        case Scalar():
            return _TRINO.get(kind, kind.value)
        case ListOf(item):
            return f"array({trino_type(item)})"
        case MapTo(value):
            return f"map(varchar, {trino_type(value)})"
        case Members(types):
            members = (f'"{name}" {trino_type(member)}' for name, member in types)
            return f"row({', '.join(members)})"


def misfit(value: Any, kind: ColumnType, name: str) -> str | None:
    """Why a JSON value cannot be of a type, naming it; ``None`` where it can. Members that a type lacks are of no account."""
    if value is None:
        return None
    match kind, value:
        case Scalar.TEXT, str():
            return None
        case Scalar.BOOLEAN, bool():
            return None
        case Scalar.INTEGER, int() if not isinstance(value, bool) and -(2**63) <= value < 2**63:
            return None
        case Scalar.NUMBER, int() | float() if not isinstance(value, bool) and math.isfinite(value):
            return None
        case Scalar.MOMENT, str():
            return None if _is_moment(value) else f"{name} is no time"
        case ListOf(item), list():
            return next((said for one in value if (said := misfit(one, item, name))), None)
        case MapTo(item), dict():
            return next(
                (said for k, one in value.items() if (said := misfit(one, item, f"{name}.{k}"))), None
            )
        case Members(types), dict():
            return next(
                (said for k, item in types if (said := misfit(value.get(k), item, f"{name}.{k}"))), None
            )
    return f"{name} is no {hive_type(kind)}"


def _is_moment(text: str) -> bool:
    try:
        epoch_ms(text)
    except ValueError:
        return False
    return True
