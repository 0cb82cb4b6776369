"""The archive: every prediction record in S3 as JSON Lines, and as a SQL table ``predictions``.

The columns are generated from the prediction record itself, so the table cannot fall behind it.
"""

from __future__ import annotations

from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from quicksilver.prediction import PredictionRecord

PREDICTIONS_PREFIX = "predictions/"
"""Where the stream's records are delivered in the archive bucket."""

UNDELIVERED_PREFIX = "undelivered/"
"""Where records wait that the stream did not take."""

_SCALARS = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


def prediction_columns() -> dict[str, str]:
    """Each column of ``predictions`` and its SQL type, in the record's order."""
    columns = _columns(PredictionRecord)
    columns["time"] = "TIMESTAMP"  # an ISO-8601 text in the record, UTC
    return columns


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
