"""``quicksilver query``: one text, two engines, and a word on stderr of what was not read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from quicksilver.cli.app import app
from quicksilver.query import Skipped, Span, Table
from tests.archives import LinesArchive
from tests.prediction_records import NOW_MS, entry

LINES = [entry(number).data for number in range(3)]


class Athena:
    """The other engine; it remembers what was opened."""

    def __init__(self) -> None:
        self.opened: list[Any] = []
        self.skipped = [Skipped("predictions/x.parquet", "HIVE_BAD_DATA")]

    @contextmanager
    def open(
        self, tables: Sequence[str], span: Span | None = None, *, endpoint: str | None = None
    ) -> Iterator[Athena]:
        self.opened.append((tuple(tables), span, endpoint))
        yield self

    def query(self, sql: str) -> Table:
        return Table(("n",), ((len(sql),),))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    stage = SimpleNamespace(
        stage="dev", archive=LinesArchive(predictions=LINES), athena=Athena(), endpoint_url=None
    )
    monkeypatch.setattr("quicksilver.cli.query.deployed_stage", lambda _: stage)
    monkeypatch.setattr("quicksilver.aws.system.SystemClock.now_ms", lambda _: NOW_MS)
    return stage


def query(sql: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["query", sql, *options])


@pytest.mark.usefixtures("stage")
def test_an_answer_is_a_table_or_json() -> None:
    sql = "select entity_id, score, 'nan'::double as odd from predictions order by 1 limit 1"
    done = query(sql, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [{"entity_id": "card_0", "score": 0.25, "odd": "nan"}]
    assert "card_0" in query(sql).stdout


def test_what_cannot_be_read_is_said_on_stderr(stage: SimpleNamespace) -> None:
    stage.archive.lines["predictions"] = [*LINES, b"{cut"]
    done = query("select count(*) as n from predictions", "--json")
    assert json.loads(done.stdout) == [{"n": 3}]
    assert "skipped predictions/card-fraud/" in done.stderr
    assert "1 lines are no records" in done.stderr


def test_a_span_and_an_endpoint_say_what_is_read(stage: SimpleNamespace) -> None:
    sql = "select count(*) as n from predictions"
    for options, span in (
        ((), None),
        (("--from", "2025-10-09T08:00:00Z"), Span(1_759_996_800_000, NOW_MS)),
        (
            ("--from", "2025-10-09T08:00:00Z", "--to", "2025-10-09T08:30:00Z"),
            Span(1_759_996_800_000, 1_759_998_600_000),
        ),
        (("--to", "2025-10-09T08:30:00Z"), Span(0, 1_759_998_600_000)),
    ):
        assert query(sql, "--endpoint", "card-fraud", *options).exit_code == 0
        assert stage.archive.spans[-1] == span


def test_athena_is_asked_the_same_text_of_the_same_span(stage: SimpleNamespace) -> None:
    sql = "select count(*) from features join outcomes using (prediction_id)"
    done = query(
        sql, "--engine", "athena", "--endpoint", "card-fraud", "--from", "2025-10-09T08:00:00Z", "--json"
    )
    assert json.loads(done.stdout) == [{"n": len(sql)}]
    assert stage.athena.opened == [(("outcomes", "features"), Span(1_759_996_800_000, NOW_MS), "card-fraud")]
    assert "skipped predictions/x.parquet: HIVE_BAD_DATA" in done.stderr
    assert stage.archive.spans == []


def test_an_emulators_athena_is_refused_with_what_to_do(stage: SimpleNamespace) -> None:
    stage.endpoint_url = "http://127.0.0.1:4566"
    done = query("select 1 from predictions", "--engine", "athena")
    assert (done.exit_code, stage.athena.opened) == (1, [])
    assert "--engine: must be duckdb there" in done.stderr


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "yesterday"), "--from: must be an ISO-8601 time"),
        (("--to", "2025-10-09T08:00:00"), "--to: must name its offset"),
        (("--from", "2025-10-09T08:00:00Z", "--to", "2025-10-09T08:00:00Z"), "--to: must be after --from"),
    ],
)
def test_moments_that_are_none_are_named(options: Sequence[str], said: str) -> None:
    done = query("select 1 from predictions", *options)
    assert (done.exit_code, said in done.stderr) == (1, True)


@pytest.mark.usefixtures("stage")
def test_a_text_that_is_no_sql_is_said_in_the_engines_words() -> None:
    done = query("select nothing from predictions")
    assert done.exit_code == 1
    assert '"nothing" not found' in done.stderr


def test_an_archive_that_is_away_is_one_sentence(stage: SimpleNamespace) -> None:
    stage.archive.available = False
    done = query("select 1 from predictions")
    assert (done.exit_code, "The archive cannot be read: SlowDown." in done.stderr) == (1, True)
