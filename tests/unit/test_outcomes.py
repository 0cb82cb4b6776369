"""Outcomes from file to archive: what is read, what is refused by line and field, and which label counts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from quicksilver.aws.s3_outcomes import S3OutcomeStore
from quicksilver.cli.app import app
from quicksilver.errors import InvalidData, NotFound, Unavailable
from quicksilver.memory import ManualClock, MemoryOutcomeStore
from quicksilver.outcome_files import MAX_FAULTS, read_outcomes
from quicksilver.outcomes import BATCH_ROWS, Outcome, keep_outcomes
from tests.archives import archived, query_archive

NOW_MS = 1_795_683_600_000  # 2026-11-26T09:00:00Z
HEADER = "prediction_id,entity_id,label,amount,time\n"


def written(folder: Path, text: str, name: str = "labels.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def faults(file: Path) -> list[str]:
    with pytest.raises(InvalidData) as refusal:
        read_outcomes(file, now_ms=NOW_MS)
    return [str(fault) for fault in refusal.value.fields]


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    csv_file = written(
        tmp_path,
        HEADER
        + "p1,card_1,true,81250,2026-11-20T01:00:00+01:00\n"
        + "p2,,0,,2026-11-20T00:00:00Z\n"
        + '"p3","card ""3""",FALSE,-5,2026-11-20\t\n'.replace("2026-11-20\t", "2026-11-20T00:00:00.5Z"),
    )
    rows = [
        {"prediction_id": "p1", "entity_id": "card_1", "label": True, "amount": 81_250, "time": "2026-11-20T00:00:00Z"},
        {"prediction_id": "p2", "label": 0, "time": "2026-11-20T00:00:00.000Z"},
        {"prediction_id": "p3", "entity_id": 'card "3"', "label": False, "amount": -5, "time": "2026-11-20T00:00:00.500Z"},
    ]  # fmt: skip
    lines = written(tmp_path, "\n\n".join(map(json.dumps, rows)), "labels.jsonl")
    found = read_outcomes(csv_file, now_ms=NOW_MS)
    assert found == read_outcomes(lines, now_ms=NOW_MS)
    assert [(outcome.label, outcome.amount, outcome.time) for outcome in found] == [
        (True, 81_250, "2026-11-20T00:00:00.000Z"),
        (False, None, "2026-11-20T00:00:00.000Z"),
        (False, -5, "2026-11-20T00:00:00.500Z"),
    ]


def test_a_byte_order_mark_and_other_columns_order_are_no_fault(tmp_path: Path) -> None:
    file = written(tmp_path, "\ufefflabel,time,prediction_id\r\n1,2026-11-20T00:00:00Z,p1\r\n")
    assert [outcome.label for outcome in read_outcomes(file, now_ms=NOW_MS)] == [True]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("p1,,fraud,,2026-11-20T00:00:00Z", "line 3: label: must be true or 1 for a bad outcome, false or 0 for a good one"),
        ("p1,,,,2026-11-20T00:00:00Z", "line 3: label: Field required"),
        ("p1,,1,12.50,2026-11-20T00:00:00Z", "line 3: amount: Input should be a valid integer"),
        ("p1,,1,,yesterday", "line 3: time: must be an ISO-8601 time"),
        ("p1,,1,,2026-11-20T00:00:00", "line 3: time: must name its offset, such as Z"),
        ("p1,,1,,2026-11-26T09:00:01Z", "line 3: time: is in the future"),
        (",,1,,2026-11-20T00:00:00Z", "line 3: must name its prediction by prediction_id, or by entity_id and event_time"),
        ("p1,,1,2026-11-20T00:00:00Z", "line 3: has not 5 cells, as the header has"),
        ("p0,,0,,2026-11-20T00:00:00Z", "line 3: contradicts line 2, which is of the same prediction and time"),
        ('p1,"x"y,1,,2026-11-20T00:00:00Z', "line 3: is no CSV: ',' expected after '\"'"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line_and_field(tmp_path: Path, row: str, fault: str) -> None:
    file = written(tmp_path, f"{HEADER}p0,,1,,2026-11-20T00:00:00Z\n{row}\n")
    assert faults(file) == [fault]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 1: is no JSON"),
        ("[1]", "line 1: must be a JSON object"),
        ('{"prediction_id": "p", "label": 2, "time": "2026-11-20T00:00:00Z"}',
         "line 1: label: must be true or 1 for a bad outcome, false or 0 for a good one"),
        ('{"prediction_id": "p", "label": null, "time": "2026-11-20T00:00:00Z"}',
         "line 1: label: must be true or 1 for a bad outcome, false or 0 for a good one"),
        ('{"prediction_id": "p", "label": true, "amount": 1.5, "time": "2026-11-20T00:00:00Z"}',
         "line 1: amount: Input should be a valid integer"),
        ('{"prediction_id": "p", "label": true, "time": 1795683600}', "line 1: time: must be an ISO-8601 time"),
        ('{"prediction_id": "p", "label": true, "time": "2026-11-20T00:00:00Z", "score": 1}',
         "line 1: score: Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_a_line_of_json_is_held_to_the_same(tmp_path: Path, line: str, fault: str) -> None:
    assert faults(written(tmp_path, line, "labels.jsonl")) == [fault]


ENTITY_HEADER = "entity_id,event_time,label,time,group.age_band,group.sex\n"


def test_an_outcome_may_name_its_prediction_by_entity_and_moment_and_have_groups(tmp_path: Path) -> None:
    rows = "card_1,2026-11-19T01:00:00+01:00,1,2026-11-20T00:00:00Z,30-39,\ncard_2,2026-11-19T00:00:00Z,0,2026-11-20T00:00:00Z,,\n"
    first, second = read_outcomes(written(tmp_path, ENTITY_HEADER + rows), now_ms=NOW_MS)
    assert (first.prediction_id, first.entity_id, first.event_time) == (
        None,
        "card_1",
        "2026-11-19T00:00:00.000Z",
    )
    assert (first.groups, second.groups) == ({"age_band": "30-39"}, {})
    lines = "\n".join(each.model_dump_json() for each in (first, second))
    assert read_outcomes(written(tmp_path, lines, "labels.jsonl"), now_ms=NOW_MS) == [first, second]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("card_1,,1,2026-11-20T00:00:00Z,,",
         "line 3: must name its prediction by prediction_id, or by entity_id and event_time"),
        (",2026-11-19T00:00:00Z,1,2026-11-20T00:00:00Z,,",
         "line 3: must name its prediction by prediction_id, or by entity_id and event_time"),
        ("card_1,2026-11-21T00:00:00Z,1,2026-11-20T00:00:00Z,,",
         "line 3: event_time: is after the time when the label was known"),
        ("card_1,2026-11-19,1,2026-11-20T00:00:00Z,,", "line 3: event_time: must name its offset, such as Z"),
        ("card_0,2026-11-19T00:00:00Z,0,2026-11-20T00:00:00Z,,",
         "line 3: contradicts line 2, which is of the same prediction and time"),
        (f"card_1,2026-11-19T00:00:00Z,1,2026-11-20T00:00:00Z,{'x' * 65},",
         "line 3: groups.age_band: String should have at most 64 characters"),
    ],
)  # fmt: skip
def test_what_names_no_prediction_is_refused_by_line(tmp_path: Path, row: str, fault: str) -> None:
    first = "card_0,2026-11-19T00:00:00Z,1,2026-11-20T00:00:00Z,,\n"
    assert faults(written(tmp_path, ENTITY_HEADER + first + row + "\n")) == [fault]


def test_both_ways_at_once_are_refused_and_a_group_without_a_proper_name(tmp_path: Path) -> None:
    both = '{"prediction_id": "p", "entity_id": "e", "event_time": "2026-11-19T00:00:00Z", "label": 1, "time": "2026-11-20T00:00:00Z"}'
    assert faults(written(tmp_path, both, "a.jsonl")) == [
        "line 1: must name its prediction by prediction_id or by event_time, not by both"
    ]
    file = written(tmp_path, "prediction_id,label,time,group.Age\np,1,2026-11-20T00:00:00Z,30\n")
    assert faults(file) == ["line 2: groups.Age.[key]: String should match pattern '^[a-z][a-z0-9_]*$'"]


def test_a_file_with_one_fault_loads_nothing_and_one_with_many_names_the_first(tmp_path: Path) -> None:
    rows = "".join(f"p{number},,maybe,,2026-11-20T00:00:00Z\n" for number in range(50))
    with pytest.raises(InvalidData, match=r"nothing was loaded\. The first 20 of 50 faults") as refusal:
        read_outcomes(written(tmp_path, HEADER + rows), now_ms=NOW_MS)
    assert len(refusal.value.fields) == MAX_FAULTS


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("labels.xlsx", b"", "must end with .csv or .jsonl"),
        ("labels.csv", b"prediction_id,label,label,time\n", "prediction_id, label, label, time"),
        ("labels.csv", b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_says_so(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert faults(tmp_path / name)[0].endswith(reason)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.csv") == [f"{tmp_path / 'none.csv'}: No such file or directory"]


def test_the_same_row_twice_is_one(tmp_path: Path) -> None:
    row = "p0,,1,,2026-11-20T00:00:00Z\n"
    assert len(read_outcomes(written(tmp_path, HEADER + row + row), now_ms=NOW_MS)) == 1


# -- in the archive --


def outcome(number: int, *, label: bool = False, day: int = 20) -> Outcome:
    return Outcome(prediction_id=f"p{number}", label=label, time=f"2026-11-{day}T00:00:00Z")


def test_a_later_label_wins_whichever_was_loaded_first_and_duplicates_do_no_harm(tmp_path: Path) -> None:
    store = MemoryOutcomeStore()
    keep_outcomes(store, "card-fraud", [outcome(1, label=True, day=22), outcome(2, label=True, day=20)])
    keep_outcomes(store, "card-fraud", [outcome(1, label=False, day=21), outcome(2, label=False, day=23)])
    keep_outcomes(store, "card-fraud", [outcome(2, label=False, day=23), outcome(3)])
    archived(tmp_path, "outcomes", b"".join(lines for _, lines in store.kept))
    sql = "select prediction_id, label from outcomes order by 1"
    assert query_archive(sql, tmp_path).rows == (("p1", True), ("p2", False), ("p3", False))


def test_what_names_the_prediction_is_the_key_and_objects_of_before_are_read_as_they_are(
    tmp_path: Path,
) -> None:
    store = MemoryOutcomeStore()
    by_entity = Outcome(
        entity_id="card_1", event_time="2026-11-19T00:00:00Z", label=True, time="2026-11-20T00:00:00Z"
    )
    keep_outcomes(
        store,
        "card-fraud",
        [by_entity, by_entity.model_copy(update={"label": False, "time": "2026-11-21T00:00:00.000Z"})],
    )
    keep_outcomes(
        store, "card-fraud", [by_entity.model_copy(update={"event_time": "2026-11-18T00:00:00.000Z"})]
    )
    keep_outcomes(store, "card-fraud", [outcome(1, day=22).model_copy(update={"entity_id": "card_1"})])
    before = b'{"prediction_id":"p1","entity_id":null,"label":true,"amount":null,"time":"2026-11-21T00:00:00.000Z"}\n'
    archived(tmp_path, "outcomes", b"".join([before, *(lines for _, lines in store.kept)]))
    sql = "select prediction_id, entity_id, day(event_time), label, endpoint from outcomes order by 1 nulls last, 3"
    assert query_archive(sql, tmp_path).rows == (
        ("p1", "card_1", None, False, "card-fraud"),
        (None, "card_1", 18, True, "card-fraud"),
        (None, "card_1", 19, False, "card-fraud"),
    )


def test_many_outcomes_go_in_batches_and_say_how_far_they_are() -> None:
    store, steps = MemoryOutcomeStore(), []
    outcomes = [outcome(number) for number in range(BATCH_ROWS + 1)]
    keep_outcomes(store, "card-fraud", outcomes, lambda done, total: steps.append((done, total)))
    assert steps == [(BATCH_ROWS, BATCH_ROWS + 1), (BATCH_ROWS + 1, BATCH_ROWS + 1)]
    assert len(store.kept) == 2


def test_an_archive_that_refuses_is_unavailable() -> None:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    with Stubber(client) as stub:
        stub.add_client_error("put_object", "AccessDenied")
        with pytest.raises(Unavailable, match="cannot be kept"):
            keep_outcomes(S3OutcomeStore(client, "archive", ManualClock()), "card-fraud", [outcome(1)])


# -- by the command line --


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryOutcomeStore:
    def policy(endpoint: str) -> None:
        if endpoint != "card-fraud":
            raise NotFound(f"The stage local has no endpoint {endpoint}.")

    store = MemoryOutcomeStore()
    stage = SimpleNamespace(outcomes=store, policy=policy)
    monkeypatch.setattr("quicksilver.cli.outcomes.deployed_stage", lambda *_: stage)
    return store


def test_the_command_shows_its_plan_and_loads(tmp_path: Path, store: MemoryOutcomeStore) -> None:
    file = written(tmp_path, HEADER + "p1,,1,,2025-11-20T00:00:00Z\np2,,0,,2025-11-20T00:00:00Z\n")
    command = ["outcomes", "load", str(file), "--endpoint", "card-fraud"]
    refused = CliRunner().invoke(app, command, input="n\n")
    assert refused.exit_code == 1
    assert "Load 2 outcomes of card-fraud in stage local, 1 of them bad." in refused.output
    assert not store.kept
    loaded = CliRunner().invoke(app, [*command, "--yes", "--json"])
    assert json.loads(loaded.stdout) == {"endpoint": "card-fraud", "outcomes": 2, "bad": 1}
    ((endpoint, lines),) = store.kept
    assert (endpoint, len(lines.splitlines())) == ("card-fraud", 2)


def test_the_command_names_what_is_wrong_and_loads_nothing(tmp_path: Path, store: MemoryOutcomeStore) -> None:
    file = written(tmp_path, HEADER + "p1,,1,,2025-11-20T00:00:00Z\np2,,yes,,2025-11-20T00:00:00Z\n")
    result = CliRunner().invoke(app, ["outcomes", "load", str(file), "--endpoint", "card-fraud", "--yes"])
    assert result.exit_code == 1
    assert "line 3: label: must be true or 1" in result.stderr
    empty = CliRunner().invoke(
        app, ["outcomes", "load", str(written(tmp_path, HEADER)), "--endpoint", "card-fraud", "--yes"]
    )
    assert (empty.exit_code, "has no outcome" in empty.stderr) == (1, True)
    assert not store.kept


def test_an_archive_that_is_away_is_one_sentence(tmp_path: Path, store: MemoryOutcomeStore) -> None:
    store.available = False
    file = written(tmp_path, HEADER + "p1,,1,,2025-11-20T00:00:00Z\n")
    result = CliRunner().invoke(app, ["outcomes", "load", str(file), "--endpoint", "card-fraud", "--yes"])
    assert (result.exit_code, "The archive is unavailable." in result.stderr) == (1, True)


def test_outcomes_of_an_endpoint_that_the_stage_does_not_have_are_refused(
    tmp_path: Path, store: MemoryOutcomeStore
) -> None:
    file = written(tmp_path, HEADER + "p1,,1,,2025-11-20T00:00:00Z\n")
    result = CliRunner().invoke(app, ["outcomes", "load", str(file), "--endpoint", "card-frod", "--yes"])
    assert (result.exit_code, "has no endpoint card-frod" in result.stderr) == (1, True)
    assert not store.kept
