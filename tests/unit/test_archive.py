"""The archive as SQL: the columns are the record's own, each key is one row, and a query can reach nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import duckdb
import pytest
from hypothesis import given, settings, strategies as st
from moto import mock_aws

from quicksilver.archive import (
    CONTRACTS,
    HOUR_MS,
    OUTCOMES,
    PREDICTIONS,
    SHADOW_SCORES,
    TABLES,
    ArchiveReader,
    hour_folder,
)
from quicksilver.archive_folder import FolderArchive
from quicksilver.archive_views import names_in, tables_of
from quicksilver.aws.s3_archive import S3Archive
from quicksilver.column_types import ListOf, MapTo, Members, Scalar, duckdb_type, hive_type, misfit
from quicksilver.errors import InvalidQuery
from quicksilver.prediction import PredictionRecord
from quicksilver.query import Span
from quicksilver.scoring import Caller
from quicksilver.shadow_score import ShadowScore
from quicksilver.sql.engine import DuckDBEngine
from tests.archives import archive_database, archived, query_archive
from tests.prediction_records import NOW_MS, entry

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
    """A folder with two predictions; the other tables have no object."""
    archived(tmp_path, "predictions", b"\n".join(lines))
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
    archived(archive, "predictions", b"\n".join([*lines, json.dumps(old).encode()]))
    sql = (
        "select schema_version, arm.model, arm.holdout, arm.share_bp from predictions order by prediction_id"
    )
    assert query_archive(sql, archive).rows == (
        (2, None, None, 10_000),
        (3, "card-fraud@1", False, 10_000),
        (3, "card-fraud@1", False, 10_000),
    )


def test_a_table_without_an_object_or_a_line_is_empty_and_has_its_columns(tmp_path: Path) -> None:
    archived(tmp_path, "outcomes", b"")
    with archive_database(tmp_path) as database:
        for table in TABLES.values():
            answer = database.query(f"from {table.name}")
            assert (answer.columns, answer.rows) == (tuple(table.columns), ())


def test_a_prediction_that_was_delivered_twice_is_one_row(archive: Path, lines: list[bytes]) -> None:
    archived(archive, "predictions", b"\n".join([*lines, lines[0]]), name="again.jsonl")
    archived(archive, "predictions", lines[1], hour="2025/10/11/08")
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
    archived(tmp_path, "shadow_scores", b"\n".join(repeated))
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

    lines = [outcome(2, True), outcome(9, False), outcome(4, True)]
    archived(tmp_path, "outcomes", "\n".join(lines).encode())
    sql = "select label, amount, entity_id, endpoint from outcomes"
    assert query_archive(sql, tmp_path).rows == ((False, 81_250, None, "card-fraud"),)


def test_of_two_labels_at_one_time_the_bad_one_counts(tmp_path: Path) -> None:
    lines = [
        json.dumps({"prediction_id": "a", "label": label, "time": "2026-11-02T00:00:00.000Z"})
        for label in (False, True, False)
    ]
    archived(tmp_path, "outcomes", "\n".join(lines).encode())
    assert query_archive("select label from outcomes", tmp_path).rows == ((True,),)


def test_tables_can_be_joined(archive: Path) -> None:
    outcome = {"prediction_id": "p0", "label": True, "time": "2026-11-26T09:00:00.000Z"}
    archived(archive, "outcomes", json.dumps(outcome).encode())
    sql = "select predictions.entity_id, label from predictions join outcomes using (prediction_id)"
    assert query_archive(sql, archive).rows == (("card_1", True),)


def test_only_tables_that_a_text_names_are_wanted() -> None:
    assert names_in("select 1 from Predictions p join outcomes using (prediction_id)") == (
        "predictions",
        "outcomes",
    )
    assert names_in("with t as (select * from shadow_scores) select * from t") == ("shadow_scores",)
    assert names_in('summarize "OUTCOMES"') == ("outcomes",)
    assert names_in("select 'predictions_2'") == ()
    assert tables_of(("features",)) == (PREDICTIONS, CONTRACTS)
    assert tables_of(("assignments", "outcomes")) == (PREDICTIONS, OUTCOMES)


@pytest.mark.parametrize(
    "sql",
    [
        "select nothing from predictions",
        "selec",
        "select * from read_csv('/etc/passwd')",
        "copy predictions to '/tmp/predictions.csv'",
        "install httpfs",
        "set memory_limit = '100GB'",
    ],
)
def test_a_query_that_cannot_be_answered_says_why(archive: Path, sql: str) -> None:
    with pytest.raises(InvalidQuery):
        query_archive(sql, archive)


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidQuery, match="no table prediction; it has predictions"):
        DuckDBEngine(FolderArchive(tmp_path)).open(["prediction"]).__enter__()


# -- what cannot be read --


def test_lines_that_are_no_records_are_lost_alone_and_said(archive: Path, lines: list[bytes]) -> None:
    wrong = json.dumps({**json.loads(lines[0]), "prediction_id": "p8", "score": "much"}).encode()
    keyless = json.dumps({**json.loads(lines[0]), "prediction_id": None}).encode()
    content = b"\n".join([lines[0], b"{not json", wrong, b"[1]", keyless, lines[1][:90]])
    archived(archive, "predictions", content, name="b.jsonl")
    third = json.dumps({**json.loads(lines[0]), "prediction_id": "p2"}).encode()
    archived(archive, "predictions", third, name="c.jsonl")
    with archive_database(archive) as database:
        assert database.query("select prediction_id from predictions order by 1").rows == (
            ("p0",), ("p1",), ("p2",),
        )  # fmt: skip
        (skipped,) = database.skipped
    assert skipped.key == "predictions/card-fraud/2025/10/09/08/b.jsonl"
    assert skipped.reason == "5 lines are no records, the first is line 2: no JSON"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": "much"}, "score is no double"),
        ({"arm": []}, "arm is no struct<model:string"),
        ({"vector": [1.0, "x"]}, "vector is no double"),
        ({"timings": {"total_us": "soon"}}, "timings.total_us is no bigint"),
        ({"time": "yesterday"}, "time is no time"),
        ({"time": None}, "without time"),
        ({"endpoint": None}, "without endpoint"),
    ],
)
def test_a_record_that_is_not_of_its_types_is_said(
    archive: Path, lines: list[bytes], change: dict[str, Any], reason: str
) -> None:
    wrong = json.dumps({**json.loads(lines[0]), "prediction_id": "p8", **change}).encode()
    archived(archive, "predictions", wrong, name="b.jsonl")
    with archive_database(archive) as database:
        assert database.query("select count(*) from predictions").rows == ((2,),)
        (skipped,) = database.skipped
    assert reason in skipped.reason


def parquet(archive: Path, sql: str = "select * from predictions") -> bytes:
    """What an archive's answer is as Parquet."""
    with archive_database(archive) as database:
        file = database.folder / "answer.parquet"
        database.query(f"copy ({sql}) to '{file}' (format parquet)")
        return file.read_bytes()


def test_parquet_is_the_same_table(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    archived(other, "predictions", parquet(archive), name="a.parquet")
    sql = "select * from predictions order by prediction_id"
    assert query_archive(sql, other) == query_archive(sql, archive)


def test_parquet_of_an_earlier_schema_has_null_for_what_it_lacks(archive: Path, tmp_path: Path) -> None:
    old = parquet(
        archive,
        "select * exclude (keys) replace ({'role': arm.role, 'share_bp': arm.share_bp} as arm, prediction_id || 'old' as prediction_id)"
        " from predictions where prediction_id = 'p0'",
    )
    archived(tmp_path, "predictions", old, name="old.parquet")
    archived(tmp_path, "predictions", parquet(archive), name="new.parquet")
    sql = "select prediction_id, arm.model, arm.share_bp, keys is null from predictions order by 1"
    assert query_archive(sql, tmp_path).rows == (
        ("p0", "card-fraud@1", 10_000, False),
        ("p0old", None, 10_000, True),
        ("p1", "card-fraud@1", 10_000, False),
    )


@pytest.mark.parametrize("rest", [b"{", b'{"prediction_id": "p9", "ti'])
def test_a_last_line_that_breaks_off_is_said_whatever_else_is_read_with_it(
    archive: Path, rest: bytes
) -> None:
    archived(archive, "predictions", rest, name="broken-off.jsonl")
    with archive_database(archive) as database:
        assert database.query("select count(*) from predictions").rows == ((2,),)
        (skipped,) = database.skipped
    assert skipped.key.endswith("broken-off.jsonl")
    assert skipped.reason == "1 lines are no records, the first is line 1: no JSON"


def test_parquet_that_is_none_or_of_other_types_is_skipped_and_named(archive: Path) -> None:
    whole = parquet(archive)
    other = parquet(archive, "select * replace ('much' as score) from predictions")
    pages = bytearray(whole)
    pages[4:600] = b"\x07" * 596  # its footer is as it was
    for name, content in (
        ("cut", whole[: len(whole) // 2]),
        ("none", b"PAR1 and nothing else"),
        ("other", other),
        ("pages", bytes(pages)),
    ):
        archived(archive, "predictions", content, name=f"{name}.parquet")
    with archive_database(archive) as database:
        assert database.query("select count(*), sum(route), count(model) from predictions").rows == (
            (2, 2, 2),
        )
        skipped = {item.key.rpartition("/")[2]: item.reason for item in database.skipped}
    assert set(skipped) == {"cut.parquet", "none.parquet", "other.parquet", "pages.parquet"}
    assert skipped["other.parquet"] == "score is no DOUBLE"


def test_pages_that_only_a_query_reads_are_skipped_then(archive: Path, tmp_path: Path) -> None:
    whole = parquet(archive)
    place = whole.rindex(b"card_1")  # in a page of entity_id, which making rows unique does not read
    spoilt = whole[: place - 40] + b"\xff" * 46 + whole[place + 6 :]
    other = tmp_path / "other"
    archived(other, "predictions", spoilt, name="a.parquet")
    archived(other, "predictions", entry(1).data)
    with archive_database(other) as database:
        seen = database.query("select count(distinct entity_id) from predictions").rows
        names = [item.key.rpartition("/")[2] for item in database.skipped]
    assert (seen, names) == (((1,),), ["a.parquet"])


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_whatever_one_object_is_the_others_are_read(data: st.DataObject, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("archive")
    good = b"".join(entry(number).data for number in range(3))
    cut = data.draw(st.integers(0, len(good)))
    noise = data.draw(st.binary(max_size=40))
    archived(folder, "predictions", good)
    archived(folder, "predictions", good[:cut] + noise, name="b.jsonl")
    archived(folder, "predictions", noise + good, name="c.parquet")
    with archive_database(folder) as database:
        assert database.query("select count(*), count(distinct entity_id) from predictions").rows == ((3, 3),)


# -- what of it is read --


def test_an_hour_of_many_is_read_from_what_it_is_in(tmp_path: Path) -> None:
    archived(tmp_path / "lines", "predictions", b"".join(entry(number).data for number in range(50)))
    for hour in range(24):
        content = parquet(
            tmp_path / "lines",
            "select * replace (timestamp '2025-10-09 00:00:00' + interval (N) hour as time, "
            "prediction_id || '-N' as prediction_id) from predictions".replace("N", str(hour)),
        )
        archived(tmp_path, "predictions", content, hour=f"2025/10/09/{hour:02}", name="a.parquet")
        archived(tmp_path, "predictions", content, hour=f"2025/10/09/{hour:02}", name="again.parquet")
    sql = """
        explain analyze select count(*) from predictions
        where time >= timestamp '2025-10-09 05:00:00' and time < timestamp '2025-10-09 06:00:00'
    """
    with archive_database(tmp_path) as database:
        plan = str(database.query(sql).rows[0][1])
        assert database.query(sql.replace("explain analyze", "")).rows == ((50,),)
    assert "Row Groups Scanned: 2 / 48" in plan


@pytest.fixture(params=["s3", "folder"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArchiveReader]:
    """An archive with an object in each of some hours, of two endpoints."""
    hours = [hour_folder(NOW_MS + hours * HOUR_MS) for hours in (-2, -1, 0, 1, 2, 3, 50)]
    keys = [
        f"{table.folder(name)}{hour}a"
        for table in TABLES.values()
        for name in ("card-fraud", "credit-line")
        for hour in hours
    ]
    if request.param == "folder":
        for key in keys:
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_text(key)
        yield FolderArchive(tmp_path)
        return
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="archive")
        for key in keys:
            s3.put_object(Bucket="archive", Key=key, Body=key.encode())
        yield S3Archive(s3, "archive")


HOUR = Span(NOW_MS, NOW_MS + HOUR_MS)


def found(reader: ArchiveReader, table: str, span: Span | None = HOUR, **more: Any) -> list[int]:
    """The hours of the objects that are read, from the hour of ``NOW_MS`` on."""
    hours = {hour_folder(NOW_MS + hours * HOUR_MS): hours for hours in range(-2, 51)}
    objects = reader.objects(TABLES[table], span, **{"late_ms": 2 * HOUR_MS, **more})
    return [hours[item.key[-15:-1]] for item in objects]


def test_predictions_are_read_from_the_hour_before_until_they_are_too_late(reader: ArchiveReader) -> None:
    assert found(reader, "predictions", endpoint="card-fraud") == [-1, 0, 1, 2, 3]
    assert found(reader, "predictions", endpoint="card-fraud", late_ms=0) == [-1, 0, 1]
    assert found(reader, "predictions", endpoint="card-fraud", late_ms=48 * HOUR_MS) == [-1, 0, 1, 2, 3]
    assert found(reader, "predictions", endpoint="card-fraud", late_ms=49 * HOUR_MS) == [-1, 0, 1, 2, 3, 50]


def test_outcomes_are_read_however_late_they_are(reader: ArchiveReader) -> None:
    assert found(reader, "outcomes", endpoint="card-fraud") == [-1, 0, 1, 2, 3, 50]


def test_shadow_scores_are_of_all_endpoints(reader: ArchiveReader) -> None:
    assert found(reader, "shadow_scores", endpoint="card-fraud") == [-1, 0, 1, 2, 3]


def test_without_an_endpoint_all_are_read_and_without_a_span_every_hour(reader: ArchiveReader) -> None:
    assert found(reader, "predictions") == [-1, 0, 1, 2, 3] * 2
    assert found(reader, "predictions", None, endpoint="card-fraud") == [-2, -1, 0, 1, 2, 3, 50]
    assert found(reader, "predictions", endpoint="nobody") == []


def test_an_object_is_copied_whole(reader: ArchiveReader, tmp_path: Path) -> None:
    item = next(iter(reader.objects(PREDICTIONS, endpoint="card-fraud", late_ms=0)))
    reader.copy(item.key, tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == item.key
    assert item.size == len(item.key)


def test_what_was_whole_before_a_span_is_not_read() -> None:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="archive")
        item = s3.put_object(Bucket="archive", Key="predictions/card-fraud/2099/01/01/00/a", Body=b"x")
        assert item["ETag"]
        # The object is of this year, and the span, whose hour before it lies in, of another.
        span = Span(4_070_912_400_000, 4_070_912_400_001)
        assert list(S3Archive(s3, "archive").objects(PREDICTIONS, span, late_ms=0)) == []


# -- types --


def test_types_in_each_engines_words() -> None:
    kind = Members((("a", ListOf(Scalar.NUMBER)), ("b", MapTo(Scalar.INTEGER)), ("c", Scalar.MOMENT)))
    assert duckdb_type(kind) == 'STRUCT("a" DOUBLE[], "b" MAP(VARCHAR, BIGINT), "c" TIMESTAMP)'
    assert hive_type(kind) == "struct<a:array<double>,b:map<string,bigint>,c:timestamp>"
    with duckdb.connect() as connection:
        connection.execute(f"create table t (x {duckdb_type(kind)})")


def test_every_record_of_ours_fits_its_types() -> None:
    record = json.loads(entry(1).data)
    assert {misfit(record[name], kind, name) for name, kind in PREDICTIONS.columns.items()} == {None}


@pytest.mark.parametrize(
    ("value", "fits"), [(1, True), (2**63 - 1, True), (2**63, False), (True, False), (1.5, False)]
)
def test_an_integer_is_one_that_the_engines_hold(value: Any, fits: bool) -> None:
    assert (misfit(value, Scalar.INTEGER, "n") is None) == fits
