"""What drift, performance and retraining ask the archive means the same to both engines, and is SQL as Athena reads it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlglot
from sqlglot import expressions

from quicksilver.archive import HOUR_MS
from quicksilver.aws.athena import AthenaEngine
from quicksilver.drift.counting import WindowCounter
from quicksilver.drift.models import ModelReader
from quicksilver.features import Cause, Degraded
from quicksilver.instants import utc_iso
from quicksilver.memory import ManualClock, MemoryObjectStore, MemoryOutcomeStore
from quicksilver.monitoring import Window
from quicksilver.outcomes import Outcome, keep_outcomes
from quicksilver.performance.counts import Question
from quicksilver.query import QueryEngine, Span
from quicksilver.retraining.export import TrainingSets
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.training_query import training_set
from quicksilver.retraining.workspace import WorkFile, Workspace
from quicksilver.routing import Role
from quicksilver.sql.engine import ArchiveDatabase
from tests.archives import archive_database, archived
from tests.drift_archive import Reference, contract, put_model
from tests.duckdb_athena import DuckDBAthena, add_raw_tables
from tests.monitoring_documents import drift_policy
from tests.prediction_records import prediction_record
from tests.unit.test_drift_counting import ARTIFACTS, CUTOFF, SEGMENTS
from tests.unit.test_sql_recipes import TRINO_ONLY

if TYPE_CHECKING:
    from quicksilver.query import OpenArchive

ENDPOINT = "card-fraud"
START_MS = 1_760_000_400_000
SPAN = Span(START_MS, START_MS + 24 * HOUR_MS)
NOW_MS = SPAN.end_ms + 48 * HOUR_MS
CONTRACTS = {"card-fraud@1": contract(), "card-fraud@2": contract(default_channel="atm", top_reasons=2)}
SHAS = {
    name: put_model(ARTIFACTS, made, Reference.drawn(300, seed=seed).profile(made))
    for seed, (name, made) in enumerate(CONTRACTS.items())
}


def records() -> Iterator[Any]:
    chance = random.Random(5)
    for number in range(300):
        model = "card-fraud@2" if number % 4 == 0 else "card-fraud@1"
        made = CONTRACTS[model]
        unseen = number % 17 == 0
        yield prediction_record(
            number,
            time_ms=SPAN.start_ms + number * 270_000,
            assigned=model,
            role=Role.CHALLENGER if number % 4 == 0 else Role.CHAMPION,
            package_sha256=SHAS[model],
            fingerprint=made.fingerprint,
            entity_id=f"card_{number % 40}",
            score=chance.random(),
            vector=(
                chance.lognormvariate(3, 1),
                None if unseen else float(number % 3),
                float(number % 2),
                None,
            ),
            contributions=(0.25, -0.5, chance.random(), 0.0) if number % 5 == 0 else None,
            explained_by="kernel" if number % 5 == 0 else None,
            degraded=(
                Degraded(feature="channel", cause=Cause.UNSEEN_CATEGORY, policy=made.features[1].missing),
            )
            if unseen
            else (),
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    made = list(records())
    archived(folder, "predictions", b"".join(each.to_entry().data for each in [*made, *made[::7]]))
    outcomes = [
        Outcome(
            prediction_id=each.prediction_id,
            label=number % 5 == 0,
            groups={"band": "a"} if number % 2 else {},
            time=utc_iso(SPAN.end_ms + number * 60_000),
        )
        for number, each in enumerate(made)
        if number % 3
    ]
    outcomes.append(
        Outcome(
            entity_id="card_17",
            event_time=utc_iso(SPAN.end_ms - 1),
            label=True,
            time=utc_iso(SPAN.end_ms + HOUR_MS),
        )
    )
    store = MemoryOutcomeStore()
    keep_outcomes(store, ENDPOINT, outcomes)
    for number, (_, lines) in enumerate(store.kept):
        archived(folder, "outcomes", lines, name=f"{number}.jsonl")
    return folder


class Athena:
    """The Athena engine on its stand-in. ``texts`` are those that it was sent."""

    slice_ms = None

    def __init__(self, database: ArchiveDatabase) -> None:
        self._client = DuckDBAthena(database)
        self._engine = AthenaEngine(
            self._client, workgroup="w", database="d", clock=ManualClock(), pause=lambda _: None
        )

    @property
    def texts(self) -> list[str]:
        return [request["QueryString"] for request in self._client.asked]

    @contextmanager
    def open(self, tables: Sequence[str], span: Span | None = None, **more: Any) -> Iterator[OpenArchive]:
        with self._engine.open(tables, span, **more) as opened:
            yield opened


class Here:
    """The same archive as DuckDB has it."""

    slice_ms = None

    def __init__(self, database: ArchiveDatabase) -> None:
        self._database = database

    @contextmanager
    def open(self, tables: Sequence[str], span: Span | None = None, **more: Any) -> Iterator[OpenArchive]:
        yield self._database


@pytest.fixture(scope="module")
def database(archive: Path) -> Iterator[ArchiveDatabase]:
    with archive_database(archive) as database:
        add_raw_tables(database)
        yield database


@pytest.fixture
def athena(database: ArchiveDatabase) -> Iterator[Athena]:
    """Every text that a test has sent is held to Trino's grammar afterwards."""
    engine = Athena(database)
    yield engine
    assert engine.texts
    for text in engine.texts:
        for dialect in ("athena", "trino"):
            tree = sqlglot.parse_one(text, dialect=dialect)
            assert isinstance(tree, expressions.Query)
            unknown = {call.name.lower() for call in tree.find_all(expressions.Anonymous)} - TRINO_ONLY
            assert not unknown, f"what Trino does not have, or the parser does not know: {text}"


def test_a_window_is_counted_into_the_same_bins(database: ArchiveDatabase, athena: Athena) -> None:
    window = Window(start_ms=SPAN.start_ms, end_ms=SPAN.end_ms)

    def counted(engine: QueryEngine) -> Any:
        counter = WindowCounter(ENDPOINT, engine, ModelReader(ARTIFACTS, CUTOFF), SEGMENTS, at_once=0)
        counts = counter.count(window, rolled_up=None)
        # Means of contributions, which each engine adds up in an order of its own
        rounded = [
            arm.model_copy(update={"importance": {k: round(v, 9) for k, v in arm.importance.items()}})
            for arm in counts.arms
        ]
        return counts.model_copy(update={"arms": tuple(rounded)})

    here, there = counted(Here(database)), counted(athena)
    assert there == here
    assert [arm.rows for arm in here.arms] == [225, 75]
    assert here.arms[0].features["channel"].unseen > 0
    assert any(arm.importance for arm in here.arms)
    assert len(here.segments) > 4


def test_labels_are_counted_the_same(database: ArchiveDatabase, athena: Athena) -> None:
    question = Question(ENDPOINT, SPAN, 6 * HOUR_MS, NOW_MS, match_days=30, cutoff=CUTOFF)
    known = Span(SPAN.start_ms, NOW_MS)
    with athena.open(question.tables, question.opened, endpoint=ENDPOINT) as there:
        assert question.answered(there) == (found := question.answered(database))
        assert question.arrivals(there) == question.arrivals(database)
        assert question.coverage(there, known) == question.coverage(database, known)
    assert sum(group.predictions for group in found.values()) == 300
    assert sum(group.binned.labelled for group in found.values()) == 201


def test_a_training_set_has_the_same_rows(database: ArchiveDatabase, athena: Athena, tmp_path: Path) -> None:
    fingerprint = CONTRACTS["card-fraud@1"].fingerprint
    request = RetrainRequest(
        id="card-fraud-000001",
        stage="test",
        endpoint=ENDPOINT,
        champion="card-fraud@1",
        requested_at=utc_iso(NOW_MS),
        requested_by="ada",
        reason="Look.",
        evidence=(),
        training_set=training_set(drift_policy(), fingerprint, SPAN, NOW_MS),
    )

    def exported(engine: QueryEngine) -> tuple[Any, bytes]:
        objects = MemoryObjectStore()
        facts = TrainingSets(engine, objects, {ENDPOINT: drift_policy()}, tmp_path).export(request)
        return facts, Workspace(objects, ENDPOINT, request.id).get(WorkFile.SET)

    here, there = exported(Here(database)), exported(athena)
    assert there == here
    assert here[0].rows > 140
    assert 0 < here[0].bad < here[0].rows
