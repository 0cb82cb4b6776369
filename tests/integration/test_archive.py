"""The archive on the emulator: records lie by endpoint and hour, and the catalog knows the tables."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from quicksilver.archive import HOUR_MS, PREDICTIONS, TABLES, hour_folder
from quicksilver.archive_views import VIEWS
from quicksilver.query import Span, timestamp
from quicksilver.sql.engine import DuckDBEngine
from tests.local_stack import eventually
from tests.prediction_records import entry

if TYPE_CHECKING:
    from tests.local_stack import LocalStack


def test_a_record_lies_in_the_folder_of_its_endpoint_and_of_the_hour_it_arrived_in(stack: LocalStack) -> None:
    now_ms = time.time_ns() // 1_000_000
    records = [entry(1, time_ms=now_ms), entry(2, time_ms=now_ms, endpoint="credit-line")]
    records.append(records[0])  # delivered again
    client = stack.client("kinesis")
    for record in records:
        client.put_record(
            StreamName=stack.outputs["PredictionsStream"], Data=record.data, PartitionKey=record.partition_key
        )
    span = Span(now_ms, now_ms + HOUR_MS)

    def archived(endpoint: str) -> list[str]:
        with DuckDBEngine(stack.archive).open(["predictions"], span, endpoint=endpoint) as archive:
            sql = f"select prediction_id from predictions where stage = 'test' and time = {timestamp(now_ms)}"  # noqa: S608
            return [row[0] for row in archive.query(sql).rows]

    eventually(
        lambda: (
            archived("card-fraud") == [records[0].prediction_id]
            and archived("credit-line") == [records[1].prediction_id]
        ),
        "both records are archived, each once",
    )
    hours = {hour_folder(now_ms), hour_folder(time.time_ns() // 1_000_000)}
    for item in stack.archive.objects(PREDICTIONS, span, endpoint="credit-line", late_ms=0):
        assert item.key.removeprefix("predictions/credit-line/")[:14] in hours


def test_the_catalog_has_every_table_and_view(stack: LocalStack) -> None:
    found = stack.client("glue").get_tables(DatabaseName=stack.outputs["ArchiveDatabase"])["TableList"]
    assert {table["Name"] for table in found} == {*TABLES, *VIEWS, *(f"{name}_raw" for name in TABLES)}


def test_the_workgroup_answers_a_query_over_the_wire(stack: LocalStack) -> None:
    with stack.athena.open([]) as archive:
        table = archive.query("select 7 as n, 'x' as word")
    assert (table.columns, table.rows) == (("n", "word"), ((7, "x"),))
