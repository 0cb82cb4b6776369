"""A performance run over an archive: windows are estimated until they are ripe, then judged, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from quicksilver.errors import NotFound, Unavailable
from quicksilver.labelled import DAY_MS
from quicksilver.memory import ManualClock
from quicksilver.monitoring import Kind, Window
from quicksilver.performance.counts import NOTHING, Answered, Arrival, Group
from quicksilver.performance.judge import Case, judge
from quicksilver.performance.result import PerformanceResult
from quicksilver.performance.run import PerformanceRun, Windows, span_of
from tests.labelled_traffic import ENDPOINT, START_MS, policy, traffic
from tests.prediction_records import CANARY, CHAMPION
from tests.written_archive import WrittenArchive


class Documents:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], bytes] = {}
        self.puts: list[str] = []
        self.fails_after: int | None = None

    def put(self, kind: Kind, endpoint: str, name: str, document: bytes) -> None:
        if self.fails_after is not None and len(self.puts) >= self.fails_after:
            raise Unavailable("The archive is unavailable.")
        self.puts.append(name)
        self.kept[kind, endpoint, name] = document

    def claim(self, kind: Kind, endpoint: str, name: str, document: bytes) -> bool:
        raise AssertionError("a performance run claims nothing")

    def get(self, kind: Kind, endpoint: str, name: str) -> bytes | None:
        return self.kept.get((kind, endpoint, name))

    def names(self, kind: Kind, endpoint: str, *, since: str = "") -> Iterator[str]:
        return iter(sorted(name for of, whose, name in self.kept if (of, whose) == (kind, endpoint)))

    @property
    def results(self) -> list[PerformanceResult]:
        return [PerformanceResult.model_validate_json(self.kept[key]) for key in sorted(self.kept)]


def running(
    archive: WrittenArchive, store: Documents, days: float, *, reference: float | None = 0.7, **terms: object
) -> PerformanceRun:
    """A run so many days after the start."""
    return PerformanceRun(
        policies={ENDPOINT: policy(**terms)},
        cutoffs={ENDPOINT: 0.5},
        engine=archive,
        store=store,
        reference_auc=lambda _: reference,
        clock=ManualClock(START_MS + round(days * DAY_MS)),
    )


@pytest.fixture
def store() -> Documents:
    return Documents()


def test_a_window_is_estimated_first_judged_when_ripe_and_then_left_alone(store: Documents) -> None:
    predictions, outcomes = traffic(1)
    archive = WrittenArchive(predictions, {ENDPOINT: []})
    (first,) = running(archive, store, 1.01).run(ENDPOINT)
    assert (first.judged, first.ripe, first.ripeness, first.realised) == (False, False, None, None)
    assert first.estimated.auc == pytest.approx(0.82, abs=0.03)
    assert "is not judged yet: AUC of about 0.8" in first.sentence
    assert "labels have been followed for 1 days, and are waited for 3" in " ".join(first.notes)
    # Half of the labels come, and it is the same again, with what is there.
    archive.outcomes[ENDPOINT] = outcomes[:75]
    (second,) = running(archive, store, 2).run(ENDPOINT)
    assert (second.judged, second.labelled) == (False, 75)
    assert second.realised is not None
    # After the days that labels are waited for it is judged by those there are.
    archive.outcomes[ENDPOINT] = outcomes
    (third,) = running(archive, store, 4.1).run(ENDPOINT)
    assert (third.judged, third.degraded, third.labelled, third.ripeness) == (True, False, 150, 1.0)
    assert "holds: AUC 0.8" in third.sentence
    # A label that changes later changes nothing any more.
    archive.outcomes[ENDPOINT] = outcomes[:60]
    assert running(archive, store, 5).run(ENDPOINT) == ()
    assert store.results == [third]
    assert store.puts == [third.name] * 3


def test_the_same_archive_again_puts_nothing_whatever_the_time(store: Documents) -> None:
    predictions, outcomes = traffic(6)
    archive = WrittenArchive(predictions, {ENDPOINT: outcomes[:400]})
    assert len(running(archive, store, 6.5).run(ENDPOINT)) == 6
    kept = dict(store.kept)
    assert running(archive, store, 6.5).run(ENDPOINT) == ()
    assert running(archive, store, 6.6).run(ENDPOINT) == ()
    assert store.kept == kept


def test_a_model_that_has_stopped_to_rank_is_degraded_and_one_within_chance_of_the_margin_is_not(
    store: Documents,
) -> None:
    predictions, outcomes = traffic(2, works=False)
    archive = WrittenArchive(predictions, {ENDPOINT: outcomes})
    results = running(archive, store, 6, reference=0.8).run(ENDPOINT)
    assert [result.degraded for result in results] == [True, True]
    assert "has degraded: AUC 0.5" in results[0].sentence
    assert "0.800 at training" in results[0].sentence
    other = Documents()
    kept = running(archive, other, 6, reference=0.5).run(ENDPOINT)
    assert not any(result.degraded for result in kept)
    assert all(result.judged for result in kept)


def test_without_the_training_auc_nothing_is_called_degraded(store: Documents) -> None:
    predictions, outcomes = traffic(1, works=False)
    (result,) = running(WrittenArchive(predictions, {ENDPOINT: outcomes}), store, 6, reference=None).run(
        ENDPOINT
    )
    assert (result.judged, result.degraded, result.reference_auc) == (True, False, None)
    assert any("does not say the AUC at training" in note for note in result.notes)


def test_each_model_version_is_judged_on_its_own(store: Documents) -> None:
    good, of_good = traffic(2, 120)
    spoilt, of_spoilt = traffic(2, 120, model=CANARY, works=False, seed=9)
    spoilt = [record.model_copy(update={"prediction_id": f"c{record.prediction_id}"}) for record in spoilt]
    of_spoilt = [
        outcome.model_copy(update={"prediction_id": f"c{outcome.prediction_id}"}) for outcome in of_spoilt
    ]
    archive = WrittenArchive(good + spoilt, {ENDPOINT: of_good + of_spoilt})
    results = running(archive, store, 6, reference=0.78).run(ENDPOINT)
    assert {(result.model, result.degraded) for result in results} == {(CHAMPION, False), (CANARY, True)}
    assert len({result.name for result in results}) == 4


def test_too_few_labels_are_no_judgement_and_the_window_stays_open(store: Documents) -> None:
    predictions, outcomes = traffic(1)
    archive = WrittenArchive(predictions, {ENDPOINT: outcomes})
    (result,) = running(archive, store, 6, min_labels=151).run(ENDPOINT)
    assert (result.ripe, result.judged, result.degraded) == (True, False, False)
    assert any(note.startswith("150 labels,") for note in result.notes)


def test_a_run_that_is_killed_is_finished_by_the_next(store: Documents) -> None:
    predictions, outcomes = traffic(4)
    archive = WrittenArchive(predictions, {ENDPOINT: outcomes})
    store.fails_after = 2
    with pytest.raises(Unavailable):
        running(archive, store, 4).run(ENDPOINT)
    store.fails_after = None
    assert len(running(archive, store, 4).run(ENDPOINT)) == 2
    whole = Documents()
    running(archive, whole, 4).run(ENDPOINT)
    assert whole.kept == store.kept


def test_objects_that_cannot_be_read_are_said(store: Documents) -> None:
    predictions, outcomes = traffic(1)
    archive = WrittenArchive(predictions, {ENDPOINT: outcomes}, broken=[b"no record\n"])
    (result,) = running(archive, store, 1).run(ENDPOINT)
    assert "1 objects of the archive could not be read" in result.notes[-1]


def test_a_document_that_is_something_else_is_an_error_and_an_unknown_endpoint_too(store: Documents) -> None:
    predictions, _ = traffic(1, 5)
    archive = WrittenArchive(predictions, {ENDPOINT: []})
    (result,) = running(archive, store, 1).run(ENDPOINT)
    store.kept[Kind.PERFORMANCE, ENDPOINT, result.name] = json.dumps({"endpoint": "x"}).encode()
    with pytest.raises(Unavailable, match="is no PerformanceResult"):
        running(archive, store, 1).run(ENDPOINT)
    with pytest.raises(NotFound, match="credit-line"):
        running(archive, store, 1).run("credit-line")


def test_an_archive_without_predictions_has_no_windows(store: Documents) -> None:
    assert running(WrittenArchive(), store, 1).run(ENDPOINT) == ()


# -- windows and cases --


def test_a_run_looks_as_far_back_as_labels_come_and_the_curve_needs() -> None:
    now_ms = START_MS + 40 * DAY_MS + 5
    span = span_of(policy(), now_ms)
    assert (span.start_ms, span.end_ms) == (START_MS + 23 * DAY_MS, START_MS + 40 * DAY_MS)
    settling = policy().model_copy(update={"settle_minutes": 15})
    assert span_of(settling, now_ms).end_ms == START_MS + 39 * DAY_MS


CELLS = ((-100, 1, 200, 20 * 10**9, 2 * 10**9), (-50, 2, 30, 8 * 10**9, 2 * 10**9))


def windows(*answered: tuple[int, str, Answered], arrivals: list[Arrival]) -> Windows:
    groups = {Group(START_MS + day * DAY_MS, model, "champion"): each for day, model, each in answered}
    return Windows(policy(), groups, arrivals)


def test_only_ripe_windows_before_a_window_calibrate_its_estimate() -> None:
    some = Answered(CELLS, 230, 230, 0, 0)
    arrivals = [Arrival(START_MS + day * DAY_MS, 4 - day, 0, 230) for day in range(4)]
    found = list(
        windows(*((day, CHAMPION, some) for day in range(4)), arrivals=arrivals).cases(
            lambda _: 0.8, START_MS + 4 * DAY_MS
        )
    )
    assert [case.earlier.labelled for case in found] == [0, 230, 460, 690]
    unripe = [Arrival(START_MS + day * DAY_MS, 4 - day, 2, 230) for day in range(4)]
    found = list(
        windows(*((day, CHAMPION, some) for day in range(4)), arrivals=unripe).cases(
            lambda _: 0.8, START_MS + 4 * DAY_MS
        )
    )
    # Labels come in the third day: of windows of two days and one nothing is known.
    assert [case.ripeness for case in found] == [1.0, 1.0, 0.0, 0.0]
    assert [case.earlier.labelled for case in found] == [0, 230, 460, 460]


def test_roles_of_one_model_version_are_taken_together() -> None:
    some = Answered(CELLS, 200, 200, 30, 30)
    groups = {Group(START_MS, CHAMPION, role): some for role in ("champion", "canary")}
    (case,) = Windows(policy(), groups, [Arrival(START_MS, 4, 0, 460)]).cases(lambda _: None, 0)
    assert (case.answered.predictions, case.answered.binned.labelled) == (460, 460)
    assert case.answered == some + some == some + some + NOTHING


def test_an_estimate_is_calibrated_by_earlier_labels_where_there_are_enough() -> None:
    some = Answered(CELLS, 230, 230, 0, 0)
    case = Case(
        window=Window(start_ms=START_MS, end_ms=START_MS + DAY_MS), model=CHAMPION, answered=some, earlier=some.binned,
        ripeness=0.5, followed_days=3, reference_auc=0.8, now_ms=START_MS,
    )  # fmt: skip
    calibrated = judge(case, policy())
    assert calibrated.estimated.calibration is not None
    assert calibrated.notes == ()
    as_they_are = judge(replace(case, earlier=NOTHING.binned), policy())
    assert as_they_are.estimated.calibration is None
    assert as_they_are.notes == (
        "No earlier windows with labels enough: the scores are taken as calibrated.",
    )
    assert "50% of those that will come" in calibrated.sentence
