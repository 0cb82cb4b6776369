"""The recipes of docs/sql.md run, mean the same to both engines, and are SQL as Athena reads it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import expressions

from quicksilver.archive import HOUR_MS, PREDICTIONS
from quicksilver.archive_catalog import views
from quicksilver.archive_views import names_in
from quicksilver.archived_contract import keep_contract
from quicksilver.aws.athena import AthenaEngine
from quicksilver.contract import Contract
from quicksilver.instants import utc_iso
from quicksilver.memory import ManualClock, MemoryContractStore
from quicksilver.query import Span
from quicksilver.routing import Role
from quicksilver.shadow_score import ShadowScore
from quicksilver.sql.engine import ArchiveDatabase
from tests.archives import archive_database, archived
from tests.duckdb_athena import DuckDBAthena, add_raw_tables
from tests.prediction_records import CANARY, CHAMPION, NOT_LOADED, NOW_MS, entry, prediction_record
from tests.unit.test_archive_views import LATE, reason
from tests.unit.test_shadow_report import contract_content

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sql.md").read_text()
RECIPES = dict(re.findall(r"### (.+?)\n\n```sql\n(.+?)```", PAGE, re.DOTALL))
CONTRACT = Contract.model_validate(contract_content())
SPAN = Span(NOW_MS - 48 * HOUR_MS, NOW_MS + 48 * HOUR_MS)

EMPTY = {"Entities on two arms of one route: none"}
"""What there must be nothing of."""

TRINO_ONLY = {"approx_distinct", "element_at", "width_bucket", "sequence"}
"""Functions of Trino (its documentation, "List of functions and operators") that the parser has no class for."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty predictions of two days by two arms, with everything that recipes ask for; some were delivered twice."""
    folder, chance = tmp_path_factory.mktemp("archive"), random.Random(3)
    lines, outcomes, shadows = [], [], []
    for number in range(60):
        changes = {
            "time_ms": NOW_MS + number * HOUR_MS // 2, "entity_id": f"card_{number % 20}", "score": chance.random(),
            "assigned": CANARY if number % 20 < 5 else CHAMPION,
            "role": Role.CANARY if number % 20 < 5 else Role.CHAMPION,
            "vector": (chance.lognormvariate(3, 2), None if number % 7 == 0 else 1.0, 1.0, 2.0, 3.0, 0.1),
            "fingerprint": CONTRACT.fingerprint, "reasons": (reason("AMOUNT", 0.5), reason("CHANNEL", 0.25)),
            "degraded": (LATE,) if number % 5 == 0 else (NOT_LOADED,) if number % 11 == 0 else (),
            "total_us": 500 + number,
        }  # fmt: skip
        record = prediction_record(number, **changes)
        lines += [entry(number, **changes).data] * (2 if number % 9 == 0 else 1)
        if number % 2:
            known = utc_iso(NOW_MS + (number // 2 + 30) * HOUR_MS)
            outcomes.append({"prediction_id": record.prediction_id, "label": number % 3 == 0, "time": known})
        shadows.append(
            ShadowScore(
                prediction_id=record.prediction_id, endpoint=record.endpoint, entity_id=record.entity_id,
                time=record.time, model="card-fraud@3", package_sha256="c" * 64, answered_by=record.model,
                raw_score=0.0, score=chance.random(), score_us=90, error=None,
            ).model_dump_json()
        )  # fmt: skip
    outcomes.append({"prediction_id": "nobody's", "label": True, "time": utc_iso(NOW_MS)})
    archived(folder, "predictions", b"".join(lines))
    archived(folder, "outcomes", "\n".join(map(json.dumps, outcomes)).encode())
    archived(folder, "shadow_scores", "\n".join(shadows).encode())
    store = MemoryContractStore()
    keep_contract(store, CONTRACT, "a" * 64)
    (folder / "contracts").mkdir()
    (folder / "contracts" / "c.jsonl").write_bytes(store.kept[CONTRACT.fingerprint])
    return folder


@pytest.fixture(scope="module")
def database(archive: Path) -> Iterator[ArchiveDatabase]:
    with archive_database(archive) as database:
        add_raw_tables(database)
        yield database


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 12
    assert {name for sql in RECIPES.values() for name in names_in(sql)} >= {
        "predictions", "features", "reasons", "degradations", "assignments", "outcomes", "shadow_scores",
    }  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_gives_the_same_on_both_engines(name: str, database: ArchiveDatabase) -> None:
    sql = RECIPES[name]
    here = database.query(sql)
    athena = AthenaEngine(
        DuckDBAthena(database), workgroup="w", database="d", clock=ManualClock(), pause=lambda _: None
    )
    with athena.open(names_in(sql), SPAN, endpoint="card-fraud") as there:
        answer = there.query(sql)
    assert answer.columns == here.columns
    assert len(answer.rows) == len(here.rows)
    for ours, theirs in zip(here.rows, answer.rows, strict=True):
        assert [_rounded(value) for value in theirs] == [_rounded(value) for value in ours]
        assert list(map(type, theirs)) == list(map(type, ours))
    assert bool(here.rows) is (name not in EMPTY)


def _rounded(value: Any) -> Any:
    return float(f"{value:.12g}") if isinstance(value, float) else value  # sums are made in any order


def test_what_was_delivered_twice_is_one_row_on_both_engines(database: ArchiveDatabase) -> None:
    sql = "select count(*), count(distinct prediction_id) from predictions"
    athena = AthenaEngine(
        DuckDBAthena(database), workgroup="w", database="d", clock=ManualClock(), pause=lambda _: None
    )
    with athena.open(["predictions"]) as there:
        assert there.query(sql).rows == database.query(sql).rows == ((60, 60),)


def test_a_span_and_an_endpoint_leave_out_other_partitions(database: ArchiveDatabase) -> None:
    athena = AthenaEngine(
        DuckDBAthena(database),
        workgroup="w",
        database="d",
        clock=ManualClock(),
        pause=lambda _: None,
        late_hours=0,
    )
    sql = "select count(*) from predictions"
    with athena.open(["predictions"], Span(NOW_MS, NOW_MS + 1)) as there:
        assert there.query(sql).rows == ((1,),)  # from 08:53 on, one in each half hour
    with athena.open(["predictions"], endpoint="credit-line") as there:
        assert there.query(sql).rows == ((0,),)


OF_VIEWS = {f"view {name}": sql for name, (_, sql) in views(parquet={PREDICTIONS.name}).items()}


@pytest.mark.parametrize("dialect", ["athena", "trino"])
@pytest.mark.parametrize("name", [*RECIPES, *OF_VIEWS])
def test_a_text_is_sql_as_athena_reads_it(name: str, dialect: str) -> None:
    tree = sqlglot.parse_one({**RECIPES, **OF_VIEWS}[name], dialect=dialect)
    assert isinstance(tree, expressions.Query)
    unknown = {call.name.lower() for call in tree.find_all(expressions.Anonymous)} - TRINO_ONLY
    assert not unknown, "a function that Trino does not have, or that the parser does not know"
