"""What the rollback bench measures: the moment of the evidence, who an answer has to do with, and what is called missed."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from bench import figures
from bench.callers import Given, given, keep_scoring
from bench.evidence import Evidence, evidence, once_each
from bench.rollback import next_ms, phase_s
from bench.rollback_figures import Aborted, RolledBack, content_of, row_of, show
from quicksilver.aws.api import ApiAnswer
from quicksilver.errors import Unavailable
from quicksilver.instants import utc_iso
from quicksilver.rollout.look import Verdict, look
from quicksilver.rollout_plan import Rollout
from quicksilver.rollup.record import Counted, count
from quicksilver.rollup_counts import ArmKey, Period
from quicksilver.routing import Role

CHAMPION, CANARY = "card-fraud@1", "card-fraud@2"
START_MS = 1_764_158_400_000
PERIOD_S, CUTOFF = 5, 0.5
ROLLOUT = Rollout(
    number=3,
    model=CANARY,
    steps_bp=(5_000, 10_000),
    bake_seconds=600,
    started_at=utc_iso(START_MS),
    step_at=utc_iso(START_MS),
)


def record(number: int, time_ms: int, *, canary: bool = False, error: bool = False) -> Counted:
    arm = ArmKey(CANARY, Role.CANARY) if canary else ArmKey(CHAMPION, Role.CHAMPION)
    return Counted(
        endpoint="card-fraud",
        entity_id=f"card_{number}",
        time_ms=time_ms,
        identity=number.to_bytes(10, "big"),
        arm=arm,
        error=error,
        degraded=False,
        not_loaded=frozenset(),
        score=0.1,
        latency_us=1_000,
    )


def records(*, errs_from_s: float | None) -> list[Counted]:
    """Twenty a second: the champion's for half a minute, then every other one the canary's, which errs from some second on."""
    found = []
    for number in range(1_200):
        seconds = number / 20 - 30
        canary = seconds >= 0 and number % 2 == 1
        errs = canary and errs_from_s is not None and seconds >= errs_from_s
        found.append(record(number, START_MS + round(seconds * 1_000), canary=canary, error=errs))
    return found


def found_in(given_records: list[Counted]) -> Evidence | None:
    return evidence(ROLLOUT, CHAMPION, given_records, period_seconds=PERIOD_S, cutoff=CUTOFF)


def judged(some: list[Counted]) -> Verdict:
    """The product's own look at a rollup of these records, just after the last."""
    starts = sorted({one.time_ms // 5_000 * 5_000 for one in some})
    periods = [
        Period(start, count([one for one in some if one.time_ms // 5_000 * 5_000 == start], CUTOFF))
        for start in starts
    ]
    return look(ROLLOUT, CHAMPION, periods, some[-1].time_ms).verdict


def test_the_evidence_is_the_first_record_with_which_a_look_rolls_back() -> None:
    everything = records(errs_from_s=10)
    found = found_in(everything)
    assert found is not None
    place = next(place for place, one in enumerate(everything) if one.time_ms == found.at_ms)
    assert judged(everything[: place + 1]) is Verdict.ROLL_BACK
    assert judged(everything[:place]) is Verdict.HOLD
    assert found.at_ms > START_MS + 10_000
    assert CANARY in found.reason or "error rate" in found.reason


def test_a_canary_that_never_errs_gives_no_evidence() -> None:
    assert found_in(records(errs_from_s=None)) is None


def test_records_from_before_the_rollout_are_no_evidence_of_it() -> None:
    early = [one for one in records(errs_from_s=0) if one.time_ms < START_MS]
    errors = [record(5_000 + n, START_MS - 4_000 + n, canary=True, error=True) for n in range(200)]
    assert found_in(once_each([*early, *errors])) is None


def test_a_record_delivered_twice_is_one_and_all_are_in_order_of_their_time() -> None:
    one, two = record(1, START_MS + 5), record(2, START_MS)
    assert once_each([one, two, one]) == [two, one]


def answer(status: int = 200, **content: Any) -> ApiAnswer:
    usual = {"prediction_id": "p", "model": CHAMPION, "arm": {"model": CHAMPION}, "degraded": []}
    return ApiAnswer(status, {}, {**usual, **content})


@pytest.mark.parametrize(
    ("content", "touched"),
    [
        ({}, {CHAMPION}),
        ({"model": CANARY, "arm": {"model": CANARY}}, {CANARY}),
        ({"arm": {"model": CANARY}}, {CHAMPION, CANARY}),
        ({"degraded": [{"model": CANARY, "cause": "not_loaded"}]}, {CHAMPION, CANARY}),
        ({"degraded": [{"feature": "amount", "cause": "stale"}]}, {CHAMPION}),
    ],
)
def test_an_answer_has_to_do_with_its_arm_with_who_answered_and_with_what_was_not_loaded(
    content: dict[str, Any], touched: set[str]
) -> None:
    assert given(1.0, 2.0, answer(**content)).touched == touched


def test_any_other_status_is_a_failure_that_touches_nobody() -> None:
    failed = given(1.0, 2.0, answer(503))
    assert failed.failure.startswith("503")
    assert not failed.touched


class Api:
    """It answers, is not reached every third time, and tells when it has been asked often enough."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.enough = Event()

    def score(self, endpoint: str, body: Any) -> ApiAnswer:
        self.asked.append(body)
        if len(self.asked) >= 6:
            self.enough.set()
        if len(self.asked) % 3 == 0:
            raise Unavailable("The API cannot be reached: ReadTimeoutError.")
        return answer()


def test_callers_go_on_after_a_failure_and_remember_it() -> None:
    api = Api()
    with keep_scoring(api, "card-fraud", ["a", "b"], callers=1) as callers:  # type: ignore[arg-type, list-item]
        assert api.enough.wait(10)
    assert api.asked[:4] == ["a", "b", "a", "b"]
    assert len(callers.given) == len(api.asked)
    assert [bool(one.failure) for one in callers.given[:6]] == [False, False, True] * 2
    assert len(callers.touching(CHAMPION, since_ms=0)) == sum(not one.failure for one in callers.given)
    assert callers.touching(CANARY, since_ms=0) == []


def rolled_back(**changes: Any) -> RolledBack:
    usual: dict[str, Any] = {
        "what": "errs",
        "rollout": ROLLOUT,
        "champion": CHAMPION,
        "started_ms": 0.0,
        "seen_ms": 11_000.0,
        "route_ms": 60_000,
        "reason": "It errs.",
        "last": Given(66_000.0, 67_000.0, frozenset({CANARY})),
    }
    return RolledBack(**{**usual, **changes})


FOUND = Evidence(10_000, 40, "It errs.")
ABORT = Aborted(0.0, 1_000.0, Given(5_000.0, 6_000.0, frozenset({CANARY})))
ANSWERED = [Given(0.0, 1.0, frozenset({CHAMPION}))] * 10


def test_a_rollback_is_timed_from_the_evidence_to_the_last_answer() -> None:
    row = row_of(rolled_back(), FOUND)
    seconds = {name: row[name] for name in row if name.endswith("_s")}
    assert seconds == {
        "start_to_evidence_s": 10,
        "evidence_to_rollup_s": 1,
        "evidence_to_route_s": 50,
        "route_to_zero_s": 7,
        "evidence_to_zero_s": 57,
    }


def test_a_canary_that_answers_nobody_has_its_share_until_the_route_is_there() -> None:
    row = row_of(rolled_back(last=None), FOUND)
    assert (row["route_to_zero_s"], row["evidence_to_zero_s"]) == (0, 50)


def test_what_is_kept_is_not_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = content_of([row_of(rolled_back(), FOUND)], [ABORT], ANSWERED, 4)
    assert content["missed"] == []
    assert (content["rollback_seconds"], content["abort_seconds"]) == (57, 5)
    assert (content["requests"], content["failed_requests"], content["route_changes"]) == (10, 0, 4)
    figures.write("rollback", content, taken="For a test.", folder=tmp_path)
    show(content)
    said = capsys.readouterr().out
    assert "0 of 10 requests failed over 4 changes of route" in said
    assert "MISSED" not in said


@pytest.mark.parametrize(
    ("one", "found", "abort", "failure", "said"),
    [
        (rolled_back(last=Given(100_000.0, 100_001.0)), FOUND, ABORT, "", "was back at 0: 90.0, not 90 s"),
        (rolled_back(route_ms=None), FOUND, ABORT, "", "was back at 0: never, not 90 s"),
        (rolled_back(), None, ABORT, "", "was back at 0: never, not 90 s"),
        (rolled_back(), FOUND, Aborted(0, 0, Given(0, 15_100.0)), "", "took effect after 15.1 s"),
        (rolled_back(), FOUND, ABORT, "503: gone", "1 of 11 requests failed, the first: 503: gone"),
    ],
)
def test_every_limit_that_is_not_kept_is_said(
    one: RolledBack,
    found: Evidence | None,
    abort: Aborted,
    failure: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = [*ANSWERED, Given(0.0, 1.0, failure=failure)] if failure else ANSWERED
    content = content_of([row_of(one, found)], [abort], asked, 4)
    (sentence,) = content["missed"]
    assert said in sentence
    show(content)
    assert "MISSED" in capsys.readouterr().out


def test_rollbacks_begin_at_seconds_spread_over_the_minute() -> None:
    assert [phase_s(turn, 4) for turn in range(4)] == [1, 16, 31, 46]


@pytest.mark.parametrize(
    ("now_ms", "expected_ms"),
    [
        (0, 1_016_000),
        (1_015_999, 1_016_000),
        (1_016_000, 1_016_000),
        (1_016_001, 1_076_000),
        (1_200_000, 1_256_000),
    ],
)
def test_a_rollback_waits_for_the_next_such_second(now_ms: float, expected_ms: float) -> None:
    assert next_ms(1_000_000, 16, now_ms) == expected_ms
