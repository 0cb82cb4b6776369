"""A training set holds what was answered and what became of it, each prediction once; a step done twice is done once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from quicksilver.errors import InvalidQuery, Unavailable
from quicksilver.instants import utc_iso
from quicksilver.memory import ManualClock, MemoryMonitoringStore, MemoryObjectStore
from quicksilver.outcomes import Outcome
from quicksilver.prediction import PredictionRecord
from quicksilver.query import Span
from quicksilver.retraining import export
from quicksilver.retraining.ending import EndingKind
from quicksilver.retraining.export import SetFacts, TrainingSets
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.trigger import Trigger
from quicksilver.retraining.workspace import WorkFile, Workspace
from tests.monitoring_documents import DAY_MS, ENDPOINT, HOUR_MS, RegistryOf, drift_policy
from tests.prediction_records import prediction_record
from tests.written_archive import WrittenArchive

FINGERPRINT = f"{1:064x}"
NOW_MS = 20_000 * DAY_MS
START_MS = NOW_MS - 10 * DAY_MS


def prediction(number: int, at_ms: int, **changes: Any) -> PredictionRecord:
    facts = {"fingerprint": FINGERPRINT, "entity_id": "card", "vector": (float(number), None), **changes}
    return prediction_record(number, time_ms=START_MS + at_ms, prediction_id=f"p{number:04d}", **facts)


def outcome(number: int, at_ms: int, *, label: bool, **more: Any) -> Outcome:
    return Outcome(prediction_id=f"p{number:04d}", label=label, time=utc_iso(START_MS + at_ms), **more)


def an_archive(rows: int = 12) -> WrittenArchive:
    """Predictions an hour apart, every third one bad; one comes twice, and one has had another outcome before."""
    predictions = [prediction(number, number * HOUR_MS) for number in range(rows)]
    outcomes = [
        outcome(
            number, DAY_MS + number * HOUR_MS, label=number % 3 == 0, groups={"band": "a"} if number else {}
        )
        for number in range(rows)
    ]
    outcomes.append(outcome(1, 13 * HOUR_MS, label=True))
    return WrittenArchive([*predictions[::-1], predictions[0]], {ENDPOINT: outcomes[::-1]})


def a_request(**policy: object) -> RetrainRequest:
    registry: Any = RegistryOf()
    trigger = Trigger(
        "test", MemoryMonitoringStore(), registry, {ENDPOINT: drift_policy(**policy)}, ManualClock(NOW_MS)
    )
    return trigger.request(ENDPOINT, reason="Look.", who="ada")


def sets_of(archive: Any, objects: Any, folder: Path, **policy: object) -> TrainingSets:
    return TrainingSets(archive, objects, {ENDPOINT: drift_policy(**policy)}, folder)


def rows_of(objects: MemoryObjectStore, request: RetrainRequest, folder: Path) -> list[Mapping[str, Any]]:
    file = folder / "read.parquet"
    file.write_bytes(Workspace(objects, ENDPOINT, request.id).get(WorkFile.SET))
    found = duckdb.sql(f"SELECT * FROM read_parquet('{file}')")  # noqa: S608 - our own path
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def test_a_set_has_each_prediction_once_with_the_outcome_that_counts_in_the_order_of_time(
    tmp_path: Path,
) -> None:
    objects, request = MemoryObjectStore(), a_request()
    facts = sets_of(an_archive(), objects, tmp_path).export(request)
    rows = rows_of(objects, request, tmp_path)
    assert [row["prediction_id"] for row in rows] == [f"p{number:04d}" for number in range(12)]
    assert [row["label"] for row in rows] == [number % 3 == 0 for number in range(12)]
    assert rows[5]["vector"] == [5.0, None]
    assert (rows[0]["groups"], rows[5]["groups"]) == ({}, {"band": "a"})
    assert rows[0]["degraded"] == []
    assert (facts.rows, facts.bad, facts.skipped) == (12, 4, 0)
    assert (facts.start, facts.end) == (utc_iso(START_MS), utc_iso(START_MS + 11 * HOUR_MS))


@pytest.mark.parametrize(
    "said",
    [
        '[{"feature":"amount","cause":"stale","policy":"default","model":null},{"feature":null,"cause":"not_loaded"}]',
        '[["amount","stale","default",null],[null,"not_loaded",null,"card-fraud@1"]]',
    ],
    ids=["objects", "arrays"],
)
def test_what_was_degraded_is_read_from_the_json_of_either_engine(said: str) -> None:
    assert export._features(json.loads(said)) == [{"feature": "amount", "cause": "stale"}]


@pytest.mark.parametrize("rows", [1, 5, 12, 13])
def test_a_set_is_the_same_bytes_however_much_memory_holds_at_once(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = a_request()
    whole = sets_of(an_archive(), MemoryObjectStore(), tmp_path).export(request)
    monkeypatch.setattr(export, "BATCH_ROWS", rows)
    assert sets_of(an_archive(), MemoryObjectStore(), tmp_path).export(request) == whole


def test_what_is_of_another_contract_of_nobody_or_not_known_yet_is_left_out(tmp_path: Path) -> None:
    archive = an_archive(6)
    archive.predictions += [
        prediction(20, HOUR_MS, fingerprint="f" * 64),
        prediction(21, HOUR_MS, status="fallback", vector=(), raw_score=None),
        prediction(22, HOUR_MS, endpoint="credit-line", model="credit-line@1"),
        prediction(23, HOUR_MS),
        prediction(24, -90 * DAY_MS),
    ]
    archive.outcomes[ENDPOINT] += [outcome(number, DAY_MS, label=True) for number in (20, 21, 22, 24)]
    archive.outcomes[ENDPOINT] += [outcome(23, 11 * DAY_MS, label=True)]
    facts = sets_of(archive, MemoryObjectStore(), tmp_path).export(a_request())
    assert facts.rows == 6


def test_an_outcome_by_entity_and_moment_counts_too(tmp_path: Path) -> None:
    archive = WrittenArchive(
        [prediction(1, 0, entity_id="card-1")],
        {
            ENDPOINT: [
                Outcome(
                    entity_id="card-1", event_time=utc_iso(START_MS + 5), label=True, time=utc_iso(NOW_MS - 1)
                )
            ]
        },
    )
    facts = sets_of(archive, MemoryObjectStore(), tmp_path).export(a_request())
    assert (facts.rows, facts.bad) == (1, 1)


class Watched:
    """An archive that notes which span of predictions it was opened for."""

    slice_ms = None

    def __init__(self, archive: WrittenArchive) -> None:
        self._archive = archive
        self.spans: list[Span] = []

    def open(self, tables: Sequence[str], span: Span | None = None, **more: Any) -> Any:
        if "predictions" in tables and span is not None:
            self.spans.append(span)
        return self._archive.open(tables, span, **more)


def by_its_entity() -> Outcome:
    at = utc_iso(START_MS + 5)
    return Outcome(entity_id="card", event_time=at, label=True, time=utc_iso(NOW_MS - 1))


@pytest.mark.parametrize(
    ("outcomes", "later"), [([], False), ([outcome(1, 5, label=True)], False), ([by_its_entity()], True)]
)
def test_predictions_after_the_sets_span_are_read_only_where_an_outcome_may_be_of_one(
    tmp_path: Path, outcomes: list[Outcome], later: bool
) -> None:
    watched, request = Watched(WrittenArchive([prediction(1, 0)], {ENDPOINT: outcomes})), a_request()
    own = request.training_set.model_copy(update={"end": utc_iso(NOW_MS - DAY_MS)})
    sets_of(watched, MemoryObjectStore(), tmp_path).export(request.model_copy(update={"training_set": own}))
    (span,) = watched.spans
    assert span.end_ms == (NOW_MS + 1 if later else NOW_MS - DAY_MS)


def test_an_object_that_cannot_be_read_is_left_out_and_counted(tmp_path: Path) -> None:
    archive = an_archive()
    archive.broken.append(b"no JSON\n")
    facts = sets_of(archive, MemoryObjectStore(), tmp_path).export(a_request())
    assert (facts.rows, facts.skipped) == (12, 1)


def test_no_outcome_at_all_is_an_empty_set(tmp_path: Path) -> None:
    objects, request = MemoryObjectStore(), a_request()
    sets = sets_of(WrittenArchive([prediction(1, 0)]), objects, tmp_path)
    facts = sets.export(request)
    assert (facts.rows, facts.start, facts.end) == (0, None, None)
    assert rows_of(objects, request, tmp_path) == []
    ending = sets.too_few(request, facts)
    assert ending is not None
    assert ending.kind is EndingKind.TOO_FEW_ROWS
    assert "0 predictions with an outcome" in ending.sentence


def test_a_step_done_again_finds_what_it_left_whatever_the_archive_has_now(tmp_path: Path) -> None:
    archive, objects, request = an_archive(), MemoryObjectStore(), a_request()
    facts = sets_of(archive, objects, tmp_path).export(request)
    archive.predictions.clear()
    assert sets_of(archive, objects, tmp_path).export(request) == facts


class Failing:
    """A store of objects whose call of that number fails, before it does anything or after."""

    def __init__(self, objects: MemoryObjectStore, at: int, *, after: bool) -> None:
        self._objects, self._left, self._after = objects, at, after

    def __getattr__(self, name: str) -> Any:
        def called(*arguments: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Unavailable("Gone.")
            answer = getattr(self._objects, name)(*arguments)
            if self._left == 0:
                raise Unavailable("Gone.")
            return answer

        return called


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_stopped_at_any_call_it_is_done_by_the_next_attempt(at: int, after: bool, tmp_path: Path) -> None:
    objects, request = MemoryObjectStore(), a_request()
    whole = sets_of(an_archive(), MemoryObjectStore(), tmp_path).export(request)
    failing = Failing(objects, at, after=after)
    stopped = sets_of(an_archive(), failing, tmp_path)
    with pytest.raises(Unavailable):
        stopped.export(request)
    assert sets_of(an_archive(), objects, tmp_path).export(request) == whole
    assert len(rows_of(objects, request, tmp_path)) == 12


def test_nothing_is_left_on_the_disk_and_a_query_the_engine_refuses_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    request = a_request()
    sets_of(an_archive(), MemoryObjectStore(), folder).export(request)
    spoilt = request.training_set.model_copy(update={"sql": "SELECT nothing FROM nowhere"})
    with pytest.raises(InvalidQuery, match="nowhere"):
        sets_of(an_archive(), MemoryObjectStore(), folder).export(
            request.model_copy(update={"training_set": spoilt})
        )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "bad", "enough"),
    [(1_000, 20, True), (1_000, 980, True), (999, 20, False), (1_000, 19, False), (1_000, 981, False)],
)
def test_too_few_rows_or_too_few_of_either_kind_are_said(
    rows: int, bad: int, enough: bool, tmp_path: Path
) -> None:
    facts = SetFacts(rows=rows, bad=bad, start=None, end=None, sha256="a" * 64, skipped=0)
    sets = sets_of(WrittenArchive([]), MemoryObjectStore(), tmp_path, min_training_rows=1_000)
    request = a_request()
    ending = sets.too_few(request, facts)
    assert (ending is None) is enough
    if ending:
        told = ending.told(request)
        assert told["subject"] == "[test] card-fraud: too few outcomes to train a new model"
        assert f"{bad:,} of them bad" in told["text"]
        assert "quicksilver retrain show card-fraud-000001 --stage test" in told["text"]
