"""The archive as SQL: the columns are the record's own, and a query can reach nothing else."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.archive import OUTCOMES, PREDICTIONS, SHADOW_SCORES, TABLES
from quicksilver.aws.s3_archive import S3Archive
from quicksilver.errors import InvalidQuery
from quicksilver.prediction import PredictionRecord
from quicksilver.scoring import Caller
from quicksilver.shadow_score import ShadowScore
from quicksilver.sql import archive_database, query_archive, tables_named

if TYPE_CHECKING:
    from tests.unit.conftest import Bench


@pytest.fixture
def lines(bench: Bench, request_body: dict[str, Any]) -> list[bytes]:
    bench.scorer.score(json.dumps(request_body), Caller("r", "1"))
    bench.scorer.score(json.dumps({**request_body, "entity_id": "card_2"}), Caller("r", "1"))
    bench.log.flush()
    # The bench's random bytes are always the same, and so are its ids.
    first, second = (json.loads(entry.data) for entry in bench.stream.entries)
    return [
        json.dumps({**record, "prediction_id": f"p{i}"}).encode() for i, record in enumerate((first, second))
    ]


@pytest.fixture
def archive(lines: list[bytes], tmp_path: Path) -> Path:
    """A folder with two predictions; the other tables have no file."""
    (tmp_path / "predictions.jsonl").write_bytes(b"\n".join(lines))
    return tmp_path


def test_every_field_of_a_record_is_a_column() -> None:
    assert list(PREDICTIONS.columns) == list(PredictionRecord.model_fields)
    assert list(SHADOW_SCORES.columns) == list(ShadowScore.model_fields)


def test_records_come_back_as_they_were_written(archive: Path, lines: list[bytes]) -> None:
    table = query_archive(
        "select entity_id, raw_score, vector, arm.role, degraded from predictions order by prediction_id",
        archive,
    )
    first = json.loads(lines[0])
    row = table.records()[0]
    assert (row["raw_score"], row["vector"], row["role"]) == (first["raw_score"], first["vector"], "champion")
    assert row["degraded"] == []


def test_nested_members_can_be_unnested(archive: Path) -> None:
    sql = "select d.feature, count(*) as n from predictions, unnest(degraded) as t(d) group by all order by 1"
    assert query_archive(sql, archive).rows == (("amount_mean_7d", 1), ("txn_count_1h", 1))


def test_time_is_a_timestamp(archive: Path) -> None:
    assert query_archive("select count(*) from predictions where time > '2020-01-01'", archive).rows == (
        (2,),
    )


def test_a_record_of_the_schema_before_has_null_for_what_it_lacks(archive: Path, lines: list[bytes]) -> None:
    old = {**json.loads(lines[0]), "prediction_id": "old", "schema_version": 2}
    old["arm"] = {"role": "champion", "share_bp": 10_000}
    (archive / "predictions.jsonl").write_bytes(b"\n".join([*lines, json.dumps(old).encode()]))
    sql = (
        "select schema_version, arm.model, arm.holdout, arm.share_bp from predictions order by prediction_id"
    )
    assert query_archive(sql, archive).rows == (
        (2, None, None, 10_000),
        (3, "card-fraud@1", False, 10_000),
        (3, "card-fraud@1", False, 10_000),
    )


def test_a_table_without_a_file_or_a_line_is_empty_and_has_its_columns(tmp_path: Path) -> None:
    (tmp_path / "outcomes.jsonl").touch()
    with archive_database(tmp_path) as database:
        for table in TABLES.values():
            answer = database.query(f"from {table.name}")
            assert (answer.columns, answer.rows) == (tuple(table.columns), ())


def test_a_prediction_that_was_delivered_twice_is_one_row(archive: Path, lines: list[bytes]) -> None:
    (archive / "predictions.jsonl").write_bytes(b"\n".join([*lines, *lines]))
    assert query_archive("select count(*) from predictions", archive).rows == ((2,),)


def test_a_shadow_score_is_one_row_for_each_prediction_and_model(tmp_path: Path) -> None:
    def score(prediction_id: str, model: str) -> bytes:
        record = ShadowScore(
            prediction_id=prediction_id, endpoint="card-fraud", entity_id="card_1", time="2026-11-26T09:00:00.000Z",
            model=model, package_sha256="0" * 64, answered_by="card-fraud@1", raw_score=0.5, score=0.6,
            score_us=90, error=None,
        )  # fmt: skip
        return record.model_dump_json().encode()

    repeated = [score("a", "card-fraud@2"), score("b", "card-fraud@2"), score("a", "card-fraud@3")] * 2
    (tmp_path / "shadow_scores.jsonl").write_bytes(b"\n".join(repeated))
    sql = "select prediction_id, model from shadow_scores order by all"
    assert query_archive(sql, tmp_path).rows == (
        ("a", "card-fraud@2"),
        ("a", "card-fraud@3"),
        ("b", "card-fraud@2"),
    )


def test_the_latest_outcome_of_a_prediction_counts(tmp_path: Path) -> None:
    def outcome(day: int, label: bool) -> str:
        time = f"2026-11-{day:02}T00:00:00.000Z"
        return json.dumps({"prediction_id": "a", "label": label, "amount": 81_250, "time": time})

    (tmp_path / "outcomes.jsonl").write_text(
        "\n".join([outcome(2, True), outcome(9, False), outcome(4, True)])
    )
    sql = "select label, amount, entity_id from outcomes"
    assert query_archive(sql, tmp_path).rows == ((False, 81_250, None),)


def test_tables_can_be_joined(archive: Path) -> None:
    (archive / "outcomes.jsonl").write_text(
        json.dumps({"prediction_id": "p0", "label": True, "time": "2026-11-26T09:00:00.000Z"})
    )
    sql = "select predictions.entity_id, label from predictions join outcomes using (prediction_id)"
    assert query_archive(sql, archive).rows == (("card_1", True),)


def test_only_tables_that_a_text_names_are_wanted() -> None:
    assert tables_named("select 1 from Predictions p join outcomes using (prediction_id)") == (
        PREDICTIONS,
        OUTCOMES,
    )
    assert tables_named("with t as (select * from shadow_scores) select * from t") == (SHADOW_SCORES,)
    assert tables_named('summarize "OUTCOMES"') == (OUTCOMES,)
    assert tables_named("select 'predictions_2'") == ()


@pytest.mark.parametrize(
    "sql", ["select nothing from predictions", "selec", "select * from read_csv('/etc/passwd')"]
)
def test_a_query_that_cannot_be_answered_says_why(archive: Path, sql: str) -> None:
    with pytest.raises(InvalidQuery):
        query_archive(sql, archive)


def test_a_line_that_is_no_record_is_named(archive: Path) -> None:
    (archive / "predictions.jsonl").write_text("{not json\n")
    with pytest.raises(InvalidQuery, match="JSON"):
        query_archive("select 1 from predictions", archive)


def test_a_period_is_read_from_the_hour_before_it_on() -> None:
    import boto3
    from moto import mock_aws

    keys = [f"predictions/2026/11/26/{hour:02}/a" for hour in (7, 8, 9, 10)]
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="archive")
        for key in keys:
            s3.put_object(Bucket="archive", Key=key, Body=key.encode())
        archive = S3Archive(s3, "archive")
        since_ms = 1_795_683_600_000  # 2026-11-26T09:00:00Z
        assert archive.keys(PREDICTIONS, since_ms=since_ms) == keys[1:]
        assert archive.keys(PREDICTIONS) == keys
        target = BytesIO()
        assert archive.copy_to(PREDICTIONS, target, since_ms=since_ms) == 3
        assert target.getvalue().decode().splitlines() == keys[1:]
