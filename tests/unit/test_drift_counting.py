"""Counting in the engine: the same as counting the records one by one, whatever they hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.drift import counting
from quicksilver.drift.counting import WindowCounter
from quicksilver.drift.counts import ArmCounts, Scores, SegmentCounts, WindowCounts
from quicksilver.drift.histogram_sql import number
from quicksilver.drift.models import ModelReader
from quicksilver.errors import Unavailable
from quicksilver.fallback import DegradedModel, ModelCause, ModelPolicy
from quicksilver.features import Cause, Degraded
from quicksilver.memory import MemoryArtifactStore
from quicksilver.monitoring import Window
from quicksilver.prediction import PredictionRecord, Status
from quicksilver.profile import CategoryHistogram, NumericHistogram
from quicksilver.routing import Role
from tests.drift_archive import RecordEngine, Reference, contract, put_model
from tests.prediction_records import prediction_record

HOUR_MS = 3_600_000
WINDOW = Window(start_ms=1_760_000_400_000, end_ms=1_760_000_400_000 + 4 * HOUR_MS)
CUTOFF = 0.3
SEGMENTS = ("channel", "cross_border")

FIRST, SECOND = contract(), contract(default_channel="atm", top_reasons=2)
REFERENCE = Reference.drawn()
PROFILE = REFERENCE.profile(FIRST)
OTHER_PROFILE = Reference.drawn(500, seed=2).profile(SECOND)
ARTIFACTS = MemoryArtifactStore()
SHAS = {
    "card-fraud@1": put_model(ARTIFACTS, FIRST, PROFILE),
    "card-fraud@2": put_model(ARTIFACTS, SECOND, OTHER_PROFILE),
    "card-fraud@3": put_model(ARTIFACTS, FIRST, None),
}
CONTRACTS = {"card-fraud@1": (FIRST, PROFILE), "card-fraud@2": (SECOND, OTHER_PROFILE)}


def counted(
    folder: Path, records: Sequence[PredictionRecord], *, at_once: int = 0, **engine: Any
) -> WindowCounts:
    counter = WindowCounter(
        "card-fraud",
        RecordEngine(folder, records, **engine),
        ModelReader(ARTIFACTS, CUTOFF),
        SEGMENTS,
        at_once,
    )
    return counter.count(WINDOW, rolled_up=None)


def record(number: int = 0, **changes: Any) -> PredictionRecord:
    """An answer of the first model, in the window."""
    model = changes.get("assigned", "card-fraud@1")
    usual = {
        "time_ms": WINDOW.start_ms,
        "package_sha256": SHAS.get(model, "f" * 64),
        "fingerprint": CONTRACTS.get(model, (FIRST,))[0].fingerprint,
        "vector": (80.0, 1.0, 0.0, 2.0),
    }
    return prediction_record(number, **{**usual, **changes})


# -- one by one --


def recount(records: Sequence[PredictionRecord]) -> WindowCounts:
    """What the engine should come to, by the profile's own words and nothing but Python."""
    of_window = {
        each.prediction_id: each
        for each in records
        if each.endpoint == "card-fraud" and WINDOW.start_ms <= _time_ms(each) < WINDOW.end_ms
    }
    answers = [each for each in of_window.values() if each.status is not Status.FALLBACK]
    arms, segments = [], []
    for model in sorted(CONTRACTS):
        if own := [each for each in answers if each.model == model]:
            arms.append(_arm(model, own))
            segments += _segments(model, own)
    return WindowCounts(
        endpoint="card-fraud",
        window=WINDOW,
        archived=len(of_window),
        fallbacks=len(of_window) - len(answers),
        rolled_up=None,
        unprofiled=Counter(each.model for each in answers if each.model not in CONTRACTS),
        arms=tuple(arms),
        segments=tuple(segments),
    )


def _arm(model: str, records: Sequence[PredictionRecord]) -> ArmCounts:
    by, profile = CONTRACTS[model]
    causes: dict[str, Counter[Cause]] = {}
    for each in records:
        for entry in each.degraded:
            if isinstance(entry, Degraded):
                causes.setdefault(entry.feature, Counter())[entry.cause] += 1
    features: dict[str, NumericHistogram | CategoryHistogram] = {}
    for place, feature in enumerate(by.features):
        reference = profile.features[feature.name]
        values = [_value(each, place) for each in records]
        if reference.kind == "numeric":
            features[feature.name] = _histogram(reference, values)
            continue
        unseen = [
            any(isinstance(e, Degraded) and e.feature == feature.name and e.cause is Cause.UNSEEN_CATEGORY
                for e in each.degraded)
            for each in records
        ]  # fmt: skip
        known = [value for value, not_seen in zip(values, unseen, strict=True) if not not_seen]
        features[feature.name] = CategoryHistogram(
            counts=tuple(known.count(code) for code in range(len(reference.counts))),
            unseen=sum(unseen),
            missing=sum(math.isnan(value) for value in known),
        )
    return ArmCounts(
        model=model,
        package_sha256=SHAS[model],
        fingerprint=by.fingerprint,
        roles=tuple(sorted({each.arm.role for each in records})),
        features=features,
        causes={name: dict(each) for name, each in causes.items()},
        importance={},
        **_scores(model, records),
    )


def _segments(model: str, records: Sequence[PredictionRecord]) -> Iterator[SegmentCounts]:
    by, _ = CONTRACTS[model]
    for name in SEGMENTS:
        place = by.names.index(name)
        values = by.features[place].categories or ("false", "true")
        for code in range(len(values)):
            if own := [each for each in records if _value(each, place) == code]:
                yield SegmentCounts(model=model, feature=name, value=values[code], **_scores(model, own))
        if own := [each for each in records if math.isnan(_value(each, place))]:
            yield SegmentCounts(model=model, feature=name, value=None, **_scores(model, own))


def _scores(model: str, records: Sequence[PredictionRecord]) -> dict[str, Any]:
    _, profile = CONTRACTS[model]
    entities = Counter(each.entity_id for each in records)
    return {
        "rows": len(records),
        "effective_rows": len(records) ** 2 / sum(m * m for m in entities.values()),
        "score": _histogram(profile.score, [each.score for each in records]),
        "approved": sum(each.score < CUTOFF for each in records),
    }


def _histogram(reference: NumericHistogram, values: Sequence[float]) -> NumericHistogram:
    bins = [reference.bin_of(value) for value in values]
    return NumericHistogram(
        edges=reference.edges,
        counts=tuple(bins.count(place) for place in range(len(reference.counts))),
        missing=bins.count(None),
    )


def _value(each: PredictionRecord, place: int) -> float:
    value = each.vector[place] if place < len(each.vector) else None
    return math.nan if value is None else value


def _time_ms(each: PredictionRecord) -> int:
    from quicksilver.instants import epoch_ms

    return epoch_ms(each.time)


# -- records of every kind --

edges = [edge for name in ("amount", "count") for edge in PROFILE.features[name].edges]  # type: ignore[union-attr]
amounts = st.one_of(
    st.none(),
    st.sampled_from(edges).flatmap(
        lambda edge: st.sampled_from([edge, math.nextafter(edge, math.inf), math.nextafter(edge, -math.inf)])
    ),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just(-0.0),
)
scores = st.one_of(st.floats(0, 1), st.sampled_from([*PROFILE.score.edges, CUTOFF]))


@st.composite
def records_of_a_window(draw: st.DrawFn) -> list[PredictionRecord]:
    records = []
    for place in range(draw(st.integers(0, 25))):
        model = draw(st.sampled_from(["card-fraud@1"] * 3 + ["card-fraud@2", "card-fraud@3"]))
        by = CONTRACTS.get(model, (FIRST,))[0]
        channel: float | None = draw(st.sampled_from([0.0, 1.0, 2.0]))
        degraded: list[Degraded | DegradedModel] = []
        cause = draw(st.sampled_from([None, None, Cause.ABSENT, Cause.UNSEEN_CATEGORY]))
        if cause:
            feature = by.features[1]
            degraded.append(Degraded(feature="channel", cause=cause, policy=feature.missing))
            channel = None if math.isnan(feature.default_value) else feature.default_value
        if draw(st.booleans()):
            degraded.append(
                DegradedModel(model="card-fraud@9", cause=ModelCause.NOT_LOADED, policy=ModelPolicy.LAST_GOOD)
            )
        fallback = draw(st.sampled_from([False] * 9 + [True]))
        full = (draw(amounts), channel, draw(st.sampled_from([0.0, 1.0])), draw(amounts))
        vector = draw(st.sampled_from([full] * 9 + [(), (None,) * 4]))
        if not vector or (vector[1] is None and channel is not None):
            degraded = [each for each in degraded if isinstance(each, DegradedModel)]
        made = record(
            place,
            assigned=model,
            role=draw(st.sampled_from([Role.CHAMPION, Role.CHALLENGER])),
            entity_id=f"card_{draw(st.integers(0, 5))}",
            status=Status.FALLBACK if fallback else draw(st.sampled_from([Status.SCORED, Status.REFER])),
            score=draw(scores),
            degraded=tuple(degraded),
            vector=vector,
            endpoint=draw(st.sampled_from(["card-fraud"] * 9 + ["credit-line"])),
            time_ms=draw(st.integers(WINDOW.start_ms - HOUR_MS, WINDOW.end_ms + HOUR_MS)),
        )
        records += [made] * draw(st.sampled_from([1, 1, 1, 3]))
    return draw(st.permutations(records))


@given(records_of_a_window(), st.sampled_from([None, HOUR_MS, 24 * HOUR_MS]), st.sampled_from([0, 10, 1_000]))
@settings(max_examples=60, deadline=None)
def test_a_window_counted_in_the_engine_is_what_its_records_add_up_to_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[PredictionRecord],
    slice_ms: int | None,
    at_once: int,
) -> None:
    found = counted(tmp_path_factory.getbasetemp(), records, at_once=at_once, slice_ms=slice_ms)
    expected = recount(records)
    assert _by_name(found.segments) == _by_name(expected.segments)
    assert found.model_copy(update={"segments": ()}) == expected.model_copy(update={"segments": ()})
    for arm in found.arms:
        assert {histogram.rows for histogram in (arm.score, *arm.features.values())} == {arm.rows}


@pytest.mark.parametrize(("at_once", "slices"), [(1, 4), (2, 1)])
def test_few_predictions_are_counted_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, slices: int
) -> None:
    spans: list[object] = []
    add = counting._Tally.add
    monkeypatch.setattr(counting._Tally, "add", lambda tally, span: (spans.append(span), add(tally, span))[1])
    assert counted(tmp_path, [record(0), record(1)], at_once=at_once, slice_ms=HOUR_MS).archived == 2
    assert len(spans) == slices


def _by_name(segments: Sequence[SegmentCounts]) -> dict[tuple[str, str, str | None], Scores]:
    assert len({(each.model, each.feature, each.value) for each in segments}) == len(segments)
    return {(each.model, each.feature, each.value): each for each in segments}


def test_the_reference_rows_themselves_count_to_their_own_profile(tmp_path: Path) -> None:
    records = [
        record(
            place,
            vector=tuple(None if math.isnan(value) else value for value in vector),
            score=score,
        )
        for place, (vector, score) in enumerate(
            zip(REFERENCE.vectors.tolist(), REFERENCE.scores.tolist(), strict=True)
        )
    ]
    (arm,) = counted(tmp_path, records).arms
    assert (arm.features, arm.score) == (PROFILE.features, PROFILE.score)
    assert arm.effective_rows == arm.rows == PROFILE.rows


def test_importance_is_the_mean_absolute_contribution_of_the_latest_slice_with_any(tmp_path: Path) -> None:
    def explained(place: int, hour: int, *contributions: float) -> PredictionRecord:
        return record(
            place,
            time_ms=WINDOW.start_ms + hour * HOUR_MS,
            contributions=contributions or None,
            explained_by="kernel" if contributions else None,
        )

    records = [
        explained(0, 0, 9.0, 9.0, 9.0, 9.0),
        explained(1, 2, 1.0, -2.0, 0.5, 0.0),
        explained(2, 2, -3.0, -2.0, 0.0, 0.0),
        explained(3, 2),
        explained(4, 3),
    ]
    (arm,) = counted(tmp_path, records, slice_ms=HOUR_MS).arms
    assert arm.importance == {"amount": 2.0, "channel": 2.0, "cross_border": 0.25, "count": 0.0}


def test_a_record_that_contradicts_itself_is_counted_once_all_the_same(tmp_path: Path) -> None:
    unseen = Degraded(feature="channel", cause=Cause.UNSEEN_CATEGORY, policy=FIRST.features[1].missing)
    (arm,) = counted(tmp_path, [record(0, degraded=(unseen,)), record(1)]).arms
    channel = arm.features["channel"]
    assert isinstance(channel, CategoryHistogram)
    assert (channel.counts, channel.unseen, channel.missing) == ((0, 2, 0), 0, 0)


def test_an_empty_window_counts_to_nothing(tmp_path: Path) -> None:
    found = counted(tmp_path, [])
    assert (found.archived, found.fallbacks, found.arms, found.segments) == (0, 0, (), ())


def test_an_object_with_lines_that_are_no_records_is_named_and_the_others_count(tmp_path: Path) -> None:
    engine = RecordEngine(tmp_path, [record()])
    engine.broken = ["{half a rec"]
    counter = WindowCounter("card-fraud", engine, ModelReader(ARTIFACTS, CUTOFF))
    found = counter.count(WINDOW, rolled_up=None)
    assert (found.archived, found.skipped) == (1, ("predictions/card-fraud/2025/10/09/08/predictions",))
    assert counter.archived(WINDOW) == (1, found.skipped)


def test_a_store_that_does_not_answer_is_no_missing_profile(tmp_path: Path) -> None:
    class Down(MemoryArtifactStore):
        def get(self, package_sha256: str, name: str) -> bytes:
            raise Unavailable("The artefact store cannot be reached.")

    counter = WindowCounter("card-fraud", RecordEngine(tmp_path, [record()]), ModelReader(Down(), CUTOFF))
    with pytest.raises(Unavailable):
        counter.count(WINDOW, rolled_up=None)


def test_a_package_that_is_not_there_or_altered_leaves_its_rows_unprofiled(tmp_path: Path) -> None:
    altered = MemoryArtifactStore()
    altered.files = {**ARTIFACTS.files, (SHAS["card-fraud@2"], "reference.json"): b"altered"}
    records = [record(0, assigned="card-fraud@2"), record(1, assigned="card-fraud@7"), record(2)]
    counter = WindowCounter("card-fraud", RecordEngine(tmp_path, records), ModelReader(altered, CUTOFF))
    found = counter.count(WINDOW, rolled_up=None)
    assert found.unprofiled == {"card-fraud@2": 1, "card-fraud@7": 1}
    assert [arm.model for arm in found.arms] == ["card-fraud@1"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_in_sql_is_a_double_and_reads_back_as_itself(value: float) -> None:
    import duckdb

    ((read, kind),) = duckdb.execute(f"SELECT {number(value)}, typeof({number(value)})").fetchall()
    assert (read, kind) == (value, "DOUBLE")
