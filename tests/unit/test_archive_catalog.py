"""The archive in the Glue catalog: columns from the records, views both engines take, and a schema that only grows."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from quicksilver.archive import CONTRACTS, OUTCOMES, PREDICTIONS, SHADOW_SCORES, TABLES
from quicksilver.archive_catalog import (
    incompatibilities,
    presto_view,
    raw_columns,
    raw_partitions,
    records,
    schema,
    views,
)
from quicksilver.archive_views import VIEWS
from quicksilver.column_types import trino_type
from stacks.archive_schema import COMMITTED, check_schema
from stacks.config import ConfigError


def test_the_committed_schema_is_the_records() -> None:
    assert json.loads(COMMITTED.read_text()) == schema(), "run python -m stacks.archive_schema"


OLD = {"t": {"a": "string", "b": "struct<x:bigint,y:array<struct<z:double>>>", "m": "map<string,bigint>"}}


def grown(**columns: str) -> dict[str, dict[str, str]]:
    return {"t": {**OLD["t"], **columns}}


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        grown(c="string"),
        grown(b="struct<x:bigint,y:array<struct<z:double,w:string>>,v:map<string,double>>"),
        {**OLD, "u": {}},
    ],
)
def test_columns_and_members_may_be_added(new: dict[str, dict[str, str]]) -> None:
    assert incompatibilities(OLD, new) == []


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        ({"t": {k: v for k, v in OLD["t"].items() if k != "a"}}, "t.a is gone: a column is never removed or renamed."),
        (grown(a="bigint"), "t.a was string and is bigint: a column keeps its type."),
        (grown(m="map<string,double>"), "t.m was map<string,bigint> and is map<string,double>: a column keeps its type."),
        (grown(b="struct<x:bigint>"), "t.b was struct<x:bigint,y:array<struct<z:double>>> and is struct<x:bigint>"),
        (grown(b="struct<x:bigint,y:array<struct<z:string>>>"), "a column keeps its type"),
        ({"t": {"new": "string", **OLD["t"]}}, "t.a has moved: columns are added at the end."),
        ({}, "t.a is gone"),
    ],
)  # fmt: skip
def test_anything_else_is_one_sentence_that_names_the_column(new: Any, sentence: str, tmp_path: Path) -> None:
    assert sentence in incompatibilities(OLD, new)[0]
    committed = tmp_path / "archive.json"
    committed.write_text(json.dumps(OLD))
    with pytest.raises(ConfigError) as raised:
        check_schema(committed, new)
    assert sentence in str(raised.value)


def test_raw_tables_have_the_records_columns_and_the_folders() -> None:
    columns = raw_columns(PREDICTIONS, parquet=True)
    assert list(columns) == list(PREDICTIONS.record_columns)
    assert (columns["time"], columns["vector"]) == ("timestamp", "array<double>")
    assert raw_columns(PREDICTIONS, parquet=False)["time"] == "string"
    assert {table.name: raw_partitions(table) for table in TABLES.values()} == {
        "predictions": ("archive_endpoint", "archive_hour"),
        "shadow_scores": ("archive_hour",),
        "outcomes": ("archive_endpoint", "archive_hour"),
        "contracts": (),
    }
    for table in TABLES.values():
        assert {*raw_columns(table, parquet=False)}.isdisjoint(raw_partitions(table)), (
            "Glue has one of each name"
        )


def test_an_endpoint_is_its_folder_where_there_is_one() -> None:
    assert "archive_endpoint AS endpoint" in records(PREDICTIONS, parquet=True)
    assert "archive_endpoint AS endpoint" in records(OUTCOMES, parquet=False)
    for table in (SHADOW_SCORES, CONTRACTS):
        assert " endpoint, " in records(table, parquet=False)


def test_a_view_is_kept_as_athena_keeps_it() -> None:
    columns, sql = views(parquet={"predictions"})["assignments"]
    text = presto_view("quicksilver_dev", columns, sql)
    assert text.startswith("/* Presto View: ")
    assert text.endswith(" */")
    assert json.loads(base64.b64decode(text[16:-3])) == {
        "originalSql": sql,
        "catalog": "awsdatacatalog",
        "schema": "quicksilver_dev",
        "columns": [
            {"name": name, "type": trino_type(kind)} for name, kind in VIEWS["assignments"].columns.items()
        ],
    }


def test_types_in_trinos_words() -> None:
    columns = PREDICTIONS.columns
    assert trino_type(columns["arm"]) == (
        'row("model" varchar, "role" varchar, "share_bp" bigint, "holdout" boolean)'
    )
    assert [trino_type(columns[name]) for name in ("vector", "keys", "time")] == [
        "array(double)", "map(varchar, varchar)", "timestamp(3)",
    ]  # fmt: skip
