"""Sums of scores, in the log lines that CloudWatch takes metrics from: seldom, and whole."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from quicksilver.bootstrap.score_sums import EVERY_MS, ScoreSums
from quicksilver.memory import ManualClock

if TYPE_CHECKING:
    from tests.unit.conftest import Bench


def sums(lines: list[str], clock: ManualClock | None = None) -> ScoreSums:
    return ScoreSums("score-card-fraud", "card-fraud", "7", clock or ManualClock(), lines.append)


def test_a_line_is_for_the_endpoint_and_for_the_function_version_and_holds_sums_alone() -> None:
    lines: list[str] = []
    scores = sums(lines)
    for score in (0.25, 0.5, 0.5):
        scores.add(score)
    scores.flush()
    line = json.loads(lines[0])
    (directive,) = line.pop("_aws")["CloudWatchMetrics"]
    assert directive["Namespace"] == "Quicksilver"
    assert directive["Dimensions"] == [["service", "endpoint"], ["service", "endpoint", "function_version"]]
    assert {metric["Name"] for metric in directive["Metrics"]} == {"ScoresSummed", "ScoreSum", "ScoreSquares"}
    assert line == {
        "service": "score-card-fraud",
        "endpoint": "card-fraud",
        "function_version": "7",
        "ScoresSummed": 3,
        "ScoreSum": 1.25,
        "ScoreSquares": 0.5625,
    }


def test_the_first_scores_are_written_at_once_and_others_every_ten_seconds() -> None:
    lines: list[str] = []
    clock = ManualClock()
    scores = sums(lines, clock)
    counts = []
    for _ in range(30):
        scores.add(0.5)
        scores.flush_if_due()
        counts.append(len(lines))
        clock.advance_ms(1_000)
    assert (counts[0], counts[9], counts[10], counts[-1]) == (1, 1, 2, 3)
    scores.flush()
    assert sum(json.loads(line)["ScoresSummed"] for line in lines) == 30


def test_a_clock_that_went_back_holds_nothing_up() -> None:
    lines: list[str] = []
    clock = ManualClock()
    scores = sums(lines, clock)
    scores.add(0.5)
    scores.flush_if_due()
    clock.advance_ms(-3_600_000)
    scores.add(0.5)
    scores.flush_if_due()
    assert len(lines) == 2


def test_nothing_is_written_of_nothing() -> None:
    lines: list[str] = []
    scores = sums(lines)
    scores.flush()
    scores.flush_if_due()
    assert lines == []


@given(st.lists(st.one_of(st.floats(0, 1), st.none())))
def test_no_score_is_lost_or_summed_twice_however_often_it_is_written(steps: list[float | None]) -> None:
    lines: list[str] = []
    clock = ManualClock()
    scores = sums(lines, clock)
    for step in steps:
        if step is None:
            clock.advance_ms(EVERY_MS // 3)
            scores.flush_if_due()
        else:
            scores.add(step)
    scores.flush()
    given_ = [step for step in steps if step is not None]
    written: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert sum(line["ScoresSummed"] for line in written) == len(given_)
    assert sum(line["ScoreSum"] for line in written) == pytest.approx(sum(given_))
    assert sum(line["ScoreSquares"] for line in written) == pytest.approx(sum(s * s for s in given_))


def test_a_thread_that_writes_takes_nothing_from_one_that_adds() -> None:
    lines: list[str] = []
    scores = sums(lines)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def add_and_flush() -> None:
        for _ in range(500):
            scores.add(1.0)
            scores.flush()

    threads = [threading.Thread(target=add_and_flush) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    sys.setswitchinterval(before)
    assert sum(json.loads(line)["ScoresSummed"] for line in lines) == 2_000


def test_what_a_model_scored_is_summed_and_what_a_contract_declares_is_not(
    bench: Bench, request_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quicksilver.errors import NotEvaluated
    from quicksilver.scoring import Caller

    record = bench.scorer.score(json.dumps(request_body), Caller("r", "7"))
    assert bench.scores.given == [record.score]

    def fails(*_: object) -> None:
        raise NotEvaluated("LightGBM failed to predict.")

    model = bench.loaded_route().champion
    monkeypatch.setattr(model.evaluator, "evaluate", fails)
    monkeypatch.setitem(model.contract.__dict__, "fallback_score", 0.5)
    fallback = bench.scorer.score(json.dumps(request_body), Caller("r", "7"))
    assert (fallback.status.value, fallback.score) == ("fallback", 0.5)
    assert bench.scores.given == [record.score]
