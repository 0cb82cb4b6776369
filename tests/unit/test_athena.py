"""The query port on Athena: what it is asked, what its texts are as values, and every way in which it does not answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from quicksilver.archive import HOUR_MS, SHADOW_SCORES
from quicksilver.aws.athena import MOST_SKIPPED, AthenaEngine, value_of
from quicksilver.errors import InvalidQuery, Unavailable
from quicksilver.memory import ManualClock
from quicksilver.query import Skipped, Span
from tests.prediction_records import NOW_MS

Row = Sequence[str | None]


class ScriptedAthena:
    """Athena by a script: a status for each look at a query, then pages of rows."""

    def __init__(
        self,
        *statuses: dict[str, Any],
        columns: Sequence[tuple[str, str]] = (("n", "bigint"),),
        pages: Sequence[Sequence[Row]] = ((("7",),),),
        refuses: Exception | None = None,
    ) -> None:
        self.statuses = list(statuses) or [{"State": "SUCCEEDED"}]
        self.asked: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self._columns, self._pages, self._refuses = columns, pages, refuses

    def start_query_execution(self, **request: Any) -> dict[str, str]:
        if self._refuses:
            raise self._refuses
        self.asked.append(request)
        return {"QueryExecutionId": f"q{len(self.asked)}"}

    def get_query_execution(self, **_: str) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"QueryExecution": {"Status": status}}

    def stop_query_execution(self, **request: str) -> None:
        self.stopped.append(request["QueryExecutionId"])

    def get_paginator(self, name: str) -> ScriptedAthena:
        assert name == "get_query_results"
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        header = [name for name, _ in self._columns]
        pages: list[list[Row]] = [list(page) for page in self._pages]
        pages[0].insert(0, header)
        info = [{"Name": name, "Type": kind} for name, kind in self._columns]
        return [
            {
                "ResultSet": {
                    "ResultSetMetadata": {"ColumnInfo": info},
                    "Rows": [
                        {"Data": [{} if text is None else {"VarCharValue": text} for text in row]}
                        for row in page
                    ],
                }
            }
            for page in pages
        ]


class Pauses:
    """Time that passes only while it is waited for."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW_MS)

    def __call__(self, seconds: float) -> None:
        self.clock.advance_ms(round(seconds * 1_000))


def engine(client: ScriptedAthena, **more: Any) -> AthenaEngine:
    pauses = Pauses()
    return AthenaEngine(
        client,
        workgroup="quicksilver-dev",
        database="quicksilver_dev",
        clock=pauses.clock,
        pause=pauses,
        **more,
    )


RUNNING = {"State": "RUNNING"}
SPAN = Span(NOW_MS, NOW_MS + HOUR_MS)  # 2025-10-09T08:53:20Z and an hour


def test_a_query_is_started_waited_for_and_read_page_by_page() -> None:
    client = ScriptedAthena(
        {"State": "QUEUED"}, RUNNING, {"State": "SUCCEEDED"},
        columns=[("model", "varchar"), ("n", "bigint")],
        pages=[[("a", "1"), (None, "2")], [("model", "3")]],
    )  # fmt: skip
    with engine(client).open(["predictions"]) as archive:
        table = archive.query("select model, count(*) as n from predictions group by model")
        assert archive.skipped == []
    assert (table.columns, table.rows) == (("model", "n"), (("a", 1), (None, 2), ("model", 3)))
    (asked,) = client.asked
    assert asked["WorkGroup"] == "quicksilver-dev"
    assert asked["QueryExecutionContext"] == {"Database": "quicksilver_dev"}


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
def test_a_large_answer_comes_in_batches_across_its_pages(rows: int) -> None:
    pages: list[list[Row]] = [[("1",), ("2",), ("3",)], [("4",)], [("5",), ("6",), ("7",)]]
    client = ScriptedAthena(pages=pages)
    with engine(client).open(["predictions"]) as archive:
        batches = [table.rows for table in archive.batches("select n from predictions", rows)]
    assert [row for batch in batches for row in batch] == [(n,) for n in range(1, 8)]
    assert [len(batch) for batch in batches[:-1]] == [rows] * (len(batches) - 1)
    with engine(ScriptedAthena(pages=[[]])).open(["predictions"]) as archive:
        assert list(archive.batches("select n from predictions", rows)) == []


def test_only_the_partitions_of_a_span_and_an_endpoint_are_scanned() -> None:
    client = ScriptedAthena()
    with engine(client).open(["features", "outcomes"], SPAN, endpoint="card-fraud") as archive:
        archive.query("select count(*) from features join outcomes using (prediction_id)")
    sql = client.asked[0]["QueryString"]
    defined = sql[: sql.index("select count(*) from features")]
    predictions, outcomes, contracts, features = (
        defined.index(f"{name} AS (") for name in ("predictions", "outcomes", "contracts", "features")
    )
    assert predictions < outcomes < contracts < features
    of_predictions, of_outcomes = defined[predictions:outcomes], defined[outcomes:contracts]
    for part in (of_predictions, of_outcomes):
        assert "archive_endpoint = 'card-fraud'" in part
        assert "archive_hour >= '2025/10/09/07'" in part
    assert "archive_hour <= '2025/10/11/09'" in of_predictions
    assert "archive_hour <=" not in of_outcomes, "an outcome comes whenever it does"
    assert "archive_" not in defined[contracts:features]


@pytest.mark.parametrize(
    "sql", ["with t as (select 1) select * from t", "WITH\n t as (select 1) select * from t"]
)
def test_a_text_with_definitions_of_its_own_keeps_them(sql: str) -> None:
    client = ScriptedAthena()
    with engine(client).open(["predictions"]) as archive:
        archive.query(sql)
    assert client.asked[0]["QueryString"].startswith("WITH predictions AS (")
    assert client.asked[0]["QueryString"].endswith("), t as (select 1) select * from t")


def test_a_table_that_is_none_is_named() -> None:
    with pytest.raises(InvalidQuery, match="no table prediction; it has predictions"):
        engine(ScriptedAthena()).open(["prediction"]).__enter__()


def failing(client: ScriptedAthena, **more: Any) -> Exception:
    with (
        engine(client, **more).open(["predictions"]) as archive,
        pytest.raises((InvalidQuery, Unavailable)) as raised,
    ):
        archive.query("select 1 from predictions")
    return raised.value


def client_error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "StartQueryExecution")


def test_a_text_that_athena_does_not_take_is_said_in_its_words() -> None:
    reason = "SYNTAX_ERROR: line 1:8: Column 'x' cannot be resolved"
    status = {"State": "FAILED", "StateChangeReason": reason, "AthenaError": {"ErrorCategory": 2}}
    error = failing(ScriptedAthena(RUNNING, status))
    assert (type(error), str(error)) == (InvalidQuery, reason)
    refused = failing(
        ScriptedAthena(refuses=client_error("InvalidRequestException", "Queries of this type…"))
    )
    assert (type(refused), str(refused)) == (InvalidQuery, "Queries of this type…")


def test_a_scan_that_is_too_large_is_said() -> None:
    reason = "Query cancelled! : Bytes scanned limit was exceeded"
    error = failing(ScriptedAthena({"State": "CANCELLED", "StateChangeReason": reason}))
    assert (type(error), str(error)) == (InvalidQuery, reason)


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (
            ScriptedAthena(
                {"State": "FAILED", "StateChangeReason": "x", "AthenaError": {"ErrorCategory": 1}}
            ),
            "Athena failed: x",
        ),
        (
            ScriptedAthena(refuses=client_error("TooManyRequestsException", "")),
            "Athena refuses: TooManyRequests",
        ),
        (ScriptedAthena(refuses=EndpointConnectionError(endpoint_url="x")), "Athena cannot be reached"),
    ],
)
def test_an_athena_that_cannot_is_unavailable(client: ScriptedAthena, said: str) -> None:
    error = failing(client)
    assert isinstance(error, Unavailable)
    assert said in str(error)


def test_a_query_that_takes_too_long_is_cancelled() -> None:
    client = ScriptedAthena(RUNNING)
    error = failing(client, patience_seconds=5)
    assert isinstance(error, Unavailable)
    assert "within 5 s" in str(error)
    assert client.stopped == ["q1"]


# -- objects that cannot be read --


def damaged(name: str) -> dict[str, Any]:
    reason = (
        f"HIVE_BAD_DATA: Malformed Parquet file. Corrupted footer s3://archive/predictions/card-fraud/{name}"
    )
    return {"State": "FAILED", "StateChangeReason": reason, "AthenaError": {"ErrorCategory": 2}}


def test_a_damaged_object_is_left_out_and_named() -> None:
    client = ScriptedAthena(damaged("a.parquet"), damaged("b.parquet"), {"State": "SUCCEEDED"})
    with engine(client).open(["predictions", "outcomes"]) as archive:
        assert archive.query("select count(*) as n from predictions").rows == ((7,),)
        keys = [skipped.key for skipped in archive.skipped]
        archive.query("select 1 from predictions")
    assert keys == ["predictions/card-fraud/a.parquet", "predictions/card-fraud/b.parquet"]
    assert isinstance(archive.skipped[0], Skipped)
    without = """"$path" NOT IN ('s3://archive/predictions/card-fraud/a.parquet', 's3://archive/predictions/card-fraud/b.parquet')"""
    assert without not in client.asked[1]["QueryString"]
    for asked in client.asked[2:]:
        assert asked["QueryString"].count("$path") == 1, "of the table that it is of"
        assert without in asked["QueryString"]


def test_damage_that_goes_on_ends() -> None:
    same = ScriptedAthena(damaged("a.parquet"))
    assert isinstance(failing(same), InvalidQuery)
    assert len(same.asked) == 2
    many = ScriptedAthena(*(damaged(f"{number}.parquet") for number in range(MOST_SKIPPED + 5)))
    assert isinstance(failing(many), InvalidQuery)
    assert len(many.asked) == MOST_SKIPPED + 1


# -- values --


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("7", "bigint", 7),
        ("-7", "integer", -7),
        ("1.0E-5", "double", 1e-5),
        ("Infinity", "double", math.inf),
        ("true", "boolean", True),
        ("false", "boolean", False),
        ("", "varchar", ""),
        ("x", "varchar(3)", "x"),
        ("2026-11-26 09:00:00.125", "timestamp", datetime(2026, 11, 26, 9, 0, 0, 125_000)),  # noqa: DTZ001 - as DuckDB's
        (
            "2026-11-26 09:00:00.125 UTC",
            "timestamp with time zone",
            datetime(2026, 11, 26, 9, 0, 0, 125_000, UTC),
        ),
        ("2026-11-26", "date", date(2026, 11, 26)),
        ("1.10", "decimal(3,2)", Decimal("1.10")),
        ("[1.5, null, 2.0E-4]", "array", [1.5, None, 2e-4]),
        ("[]", "array", []),
        ("[true, false]", "array", [True, False]),
        (None, "row", None),
    ],
)
def test_a_text_is_the_value_that_duckdb_gives(text: str | None, kind: str, value: Any) -> None:
    found = value_of(text, kind, "x")
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_one() -> None:
    assert math.isnan(value_of("NaN", "double", "x"))


@pytest.mark.parametrize(
    ("text", "kind"), [("{a=1}", "row"), ("{a=1}", "map"), ("[a, b]", "array"), ("00", "varbinary")]
)
def test_a_value_whose_text_says_too_little_is_refused(text: str, kind: str) -> None:
    with pytest.raises(InvalidQuery, match=f"arm is {kind}, which Athena gives as text only"):
        value_of(text, kind, "arm")


def test_a_time_in_another_zone_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="AT TIME ZONE 'UTC'"):
        value_of("2026-11-26 09:00:00.125 Europe/Paris", "timestamp with time zone", "x")


def test_lines_that_are_no_records_have_no_key_and_are_none_of_the_table() -> None:
    client = ScriptedAthena()
    with engine(client).open(["shadow_scores"]) as archive:
        archive.query("select 1 from shadow_scores")
    sql = client.asked[0]["QueryString"]
    assert all(f"{name} IS NOT NULL" in sql for name in SHADOW_SCORES.key)
    assert "CAST(replace(replace(time, 'T', ' '), 'Z', '') AS timestamp) AS time" in sql
