"""The archive as SQL: the columns are the record's own, and a query can reach nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.archive import prediction_columns
from quicksilver.errors import InvalidQuery
from quicksilver.prediction import PredictionRecord
from quicksilver.scoring import Caller
from quicksilver.sql import query_predictions

if TYPE_CHECKING:
    from tests.unit.conftest import Bench


@pytest.fixture
def archive(bench: Bench, request_body: dict[str, Any], tmp_path: Path) -> Path:
    bench.scorer.score(json.dumps(request_body), Caller("r", "1"))
    bench.scorer.score(json.dumps({**request_body, "entity_id": "card_2"}), Caller("r", "1"))
    bench.log.flush()
    file = tmp_path / "predictions.jsonl"
    file.write_bytes(b"".join(entry.data for entry in bench.stream.entries))
    return file


def test_every_field_of_the_record_is_a_column() -> None:
    assert list(prediction_columns()) == list(PredictionRecord.model_fields)


def test_records_come_back_as_they_were_written(archive: Path) -> None:
    table = query_predictions(
        "select entity_id, raw_score, vector, arm.role, degraded from predictions", archive
    )
    first = json.loads(archive.read_text().splitlines()[0])
    row = table.records()[0]
    assert (row["raw_score"], row["vector"], row["role"]) == (first["raw_score"], first["vector"], "champion")
    assert row["degraded"] == []


def test_nested_members_can_be_unnested(archive: Path) -> None:
    sql = "select d.feature, count(*) as n from predictions, unnest(degraded) as t(d) group by all order by 1"
    assert query_predictions(sql, archive).rows == (("amount_mean_7d", 1), ("txn_count_1h", 1))


def test_time_is_a_timestamp(archive: Path) -> None:
    assert query_predictions("select count(*) from predictions where time > '2020-01-01'", archive).rows == (
        (2,),
    )


def test_an_empty_archive_is_an_empty_table(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert query_predictions("select count(*) from predictions", empty).rows == ((0,),)


@pytest.mark.parametrize(
    "sql", ["select nothing from predictions", "selec", "select * from read_csv('/etc/passwd')"]
)
def test_a_query_that_cannot_be_answered_says_why(archive: Path, sql: str) -> None:
    with pytest.raises(InvalidQuery):
        query_predictions(sql, archive)
