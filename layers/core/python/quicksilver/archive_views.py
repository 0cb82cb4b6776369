"""What is made of the archive's records in SQL, by both engines, in Trino's words: one text for each table and view.

A table is its records with one row for each key. Views put what an analyst asks for into rows of its own: an entity's
assignment, a feature's value, a reason, and why a value or a model version was not used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quicksilver.archive import CONTRACTS, PREDICTIONS, TABLES, ArchiveTable
from quicksilver.column_types import ColumnType, ListOf, Members, Scalar
from quicksilver.errors import InvalidQuery


@dataclass(frozen=True, slots=True)
class ArchiveView:
    """A view: ``sql`` is on the tables it ``needs``."""

    name: str
    needs: tuple[ArchiveTable, ...]
    columns: Mapping[str, ColumnType]
    sql: str


_OF_A_PREDICTION = ("prediction_id", "time", "endpoint", "model")


def _columns(*names: str, **others: ColumnType) -> dict[str, ColumnType]:
    return {name: PREDICTIONS.columns[name] for name in names} | others


def _members(column: str) -> dict[str, ColumnType]:
    """The members of a prediction's column: those of each item where it is a list."""
    kind = PREDICTIONS.columns[column]
    kind = kind.item if isinstance(kind, ListOf) else kind
    assert isinstance(kind, Members)  # noqa: S101 - a column of the record, which a test looks at
    return dict(kind.types)


_ARM = _members("arm")

ASSIGNMENTS = ArchiveView(
    "assignments",
    (PREDICTIONS,),
    _columns(
        "prediction_id", "time", "entity_id", "endpoint", "model",
        arm_model=_ARM["model"], role=_ARM["role"], share_bp=_ARM["share_bp"], holdout=_ARM["holdout"],
        route=PREDICTIONS.columns["route"],
    ),
    "SELECT prediction_id, time, entity_id, endpoint, model, arm.model AS arm_model, arm.role AS role,"
    " arm.share_bp AS share_bp, arm.holdout AS holdout, route FROM predictions",
)  # fmt: skip

FEATURES = ArchiveView(
    "features",
    (PREDICTIONS, CONTRACTS),
    _columns(
        *_OF_A_PREDICTION, "fingerprint", position=Scalar.INTEGER, feature=Scalar.TEXT, value=Scalar.NUMBER
    ),
    # The vector of a contract that nobody has kept yet has places and no names.
    "SELECT p.prediction_id, p.time, p.endpoint, p.model, p.fingerprint, v.position, c.feature, v.value"
    " FROM predictions p CROSS JOIN UNNEST(p.vector) WITH ORDINALITY AS v (value, position)"
    " LEFT JOIN contracts c ON c.fingerprint = p.fingerprint AND c.position = v.position",
)


def _items(name: str, column: str, *members: str) -> ArchiveView:
    """A view with a row for each item of a prediction's list; ``position`` counts from 1.

    The engines unnest a list of members in ways of their own, and a list of places in one. Trino counts down from 1 to 0.
    """
    types = _members(column)
    said = ", ".join(f"element_at(p.{column}, i.position).{member} AS {_told[member]}" for member in members)
    return ArchiveView(
        name,
        (PREDICTIONS,),
        _columns(
            *_OF_A_PREDICTION, position=Scalar.INTEGER, **{_told[member]: types[member] for member in members}
        ),
        f"SELECT p.prediction_id, p.time, p.endpoint, p.model, i.position, {said}"  # noqa: S608
        f" FROM (SELECT * FROM predictions WHERE cardinality({column}) > 0) p"
        f" CROSS JOIN UNNEST(sequence(1, cardinality(p.{column}))) AS i (position)",
    )


_told = {
    "code": "code",
    "feature": "feature",
    "contribution": "contribution",
    "model": "not_used",
    "cause": "cause",
    "policy": "policy",
}
"""Members' names in the views: the model version of a degradation is the one that did not answer."""

REASONS = _items("reasons", "reasons", "code", "feature", "contribution")
DEGRADATIONS = _items("degradations", "degraded", "feature", "model", "cause", "policy")

VIEWS: Mapping[str, ArchiveView] = {
    view.name: view for view in (ASSIGNMENTS, FEATURES, REASONS, DEGRADATIONS)
}
"""Every view, by name."""

NAMES = (*TABLES, *VIEWS)


def one_per_key(table: ArchiveTable, records: str) -> str:
    """SQL for the records that count. Conditions on the key, such as a prediction's time, reach the records themselves."""
    names = ", ".join(table.columns)
    return (
        f"SELECT {names} FROM (SELECT {names}, row_number() OVER "  # noqa: S608
        f"(PARTITION BY {', '.join(table.key)} ORDER BY {table.choice}) AS copy FROM ({records})) WHERE copy = 1"
    )


def names_in(sql: str) -> tuple[str, ...]:
    """The tables and views that a SQL text may read: those whose name is a word of it."""
    words = set(re.findall(r"\w+", sql.lower()))
    return tuple(name for name in NAMES if name in words)


def tables_of(names: Sequence[str]) -> tuple[ArchiveTable, ...]:
    """The tables behind some tables and views. Raises ``InvalidQuery`` for a name that is neither."""
    if unknown := sorted({*names} - {*NAMES}):
        raise InvalidQuery(f"The archive has no table {unknown[0]}; it has {', '.join(NAMES)}.")
    needed = {table.name for name in names if name in VIEWS for table in VIEWS[name].needs} | {*names}
    return tuple(table for name, table in TABLES.items() if name in needed)
