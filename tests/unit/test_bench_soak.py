"""What the soak rests on: its schedule, whom it kills, what it takes for an answer, and what it calls broken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bench.soak import Soaked, calibrate
from bench.soak_conductor import BAKE_SECONDS, STEPS_BP, Injected, conduct
from bench.soak_figures import content_of, show
from bench.soak_judge import Archived, broken_keys, judgement, latency_ratios, outcomes
from bench.soak_load import Asked, Load
from bench.soak_outcome import PROCESS_ENDED, REFUSALS, Outcome, no_answer, outcome_of
from bench.soak_schedule import OUTAGES, QUIET, Kill, Killed, Outage, Phase, Schedule, draw
from bench.soak_workers import Worker, end, service_of, victim, workers
from quicksilver.aws.api import ApiAnswer
from quicksilver.errors import Unavailable
from quicksilver.problem import PROBLEM_JSON, problem
from quicksilver.rollout_plan import Rollout

DOCS = Path(__file__).parents[2] / "docs" / "api.md"

# -- the schedule --


@given(seconds=st.floats(10, 10_000), seed=st.integers(), kill_every_s=st.floats(1, 100))
def test_each_outage_comes_once_with_quiet_around_it(seconds: float, seed: int, kill_every_s: float) -> None:
    schedule = draw(seconds, seed, kill_every_s=kill_every_s)
    assert sorted(str(phase.outage) for phase in schedule.phases if phase.outage) == sorted(map(str, OUTAGES))
    assert [phase.outage is None for phase in schedule.phases] == [
        place % 2 == 0 for place in range(2 * len(OUTAGES) + 1)
    ]
    ends = [0.0, *(phase.end_s for phase in schedule.phases)]
    assert [phase.start_s for phase in schedule.phases] == ends[:-1]
    assert ends == sorted(ends)
    assert ends[-1] == schedule.seconds == seconds
    assert all(0 <= kill.at_s < seconds and 0 <= kill.draw < 1 for kill in schedule.kills)
    assert [kill.at_s for kill in schedule.kills] == sorted(kill.at_s for kill in schedule.kills)


def test_a_seed_gives_one_schedule_and_another_seed_another() -> None:
    assert draw(600, 7, kill_every_s=10) == draw(600, 7, kill_every_s=10)
    assert draw(600, 7, kill_every_s=10) != draw(600, 8, kill_every_s=10)


def test_a_moment_is_in_the_phase_that_it_lies_in() -> None:
    schedule = draw(600, 7, kill_every_s=10)
    for phase in schedule.phases:
        assert schedule.phase_at(phase.start_s) is phase
    assert schedule.phase_at(10_000) is schedule.phases[-1]


# -- whom it kills --


@pytest.mark.parametrize(
    ("program", "service"),
    [
        (
            "/w/tmp/ministack-lambda-quicksilver-local-score-card-fraud-k2_x9a1b/_worker.py",
            "score-card-fraud",
        ),
        ("/w/tmp/ministack-lambda-quicksilver-local-redeliver-abcdefgh/_worker.py", "redeliver"),
        ("/w/tmp/ministack-lambda-somebody-elses-abcdefgh/_worker.py", None),
        ("/w/tmp/ministack-lambda-quicksilver-local-rollup-abcdefgh/code/handler.py", None),
    ],
)
def test_a_workers_program_says_whose_it_is(program: str, service: str | None) -> None:
    assert service_of(program) == service


def test_a_kill_picks_among_the_living_of_its_kind() -> None:
    living = [
        Worker(1, "rollup"),
        Worker(2, "score-card-fraud"),
        Worker(3, "registry"),
        Worker(4, "score-credit-line"),
    ]
    assert victim(Kill(0, Killed.SCORE, 0.0), living) == living[1]
    assert victim(Kill(0, Killed.SCORE, 0.999), living) == living[3]
    assert victim(Kill(0, Killed.CONSUMER, 0.5), living) == living[0]
    assert victim(Kill(0, Killed.CONSUMER, 0.5), living[1:]) is None


@pytest.mark.skipif(sys.platform != "linux", reason="Workers are found by /proc.")
def test_only_workers_of_the_folder_are_found_and_a_killed_one_is_gone(tmp_path: Path) -> None:
    def started(folder: Path) -> subprocess.Popen[bytes]:
        program = folder / "ministack-lambda-quicksilver-local-score-card-fraud-abcdefgh" / "_worker.py"
        program.parent.mkdir(parents=True)
        program.write_text("input()")
        return subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE)

    mine, others = started(tmp_path / "mine"), started(tmp_path / "others")
    try:
        assert workers(tmp_path / "mine") == [Worker(mine.pid, "score-card-fraud")]
        assert end(Worker(mine.pid, "score-card-fraud"))
        assert mine.wait(10) == -9
        assert not end(Worker(mine.pid, "score-card-fraud"))
        assert workers(tmp_path / "mine") == []
        assert others.poll() is None
    finally:
        for process in (mine, others):
            process.kill()
            process.communicate()


# -- what came back --


def api_answer(status: int, content: Any, **headers: str) -> ApiAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ApiAnswer(status, named, content, json.dumps(content).encode())


def refused(of: HTTPStatus, /, **changes: Any) -> ApiAnswer:
    content = {**problem(of, "Try again.", instance="urn:request:1"), **changes}
    return api_answer(int(of), content, Content_Type=PROBLEM_JSON, Retry_After="1")


def test_a_prediction_is_an_answer() -> None:
    outcome = outcome_of(api_answer(200, {"prediction_id": "p", "score": 0.5}, Idempotency_Status="stored"))
    assert (outcome.prediction_ids, outcome.fault, outcome.key_status) == (("p",), "", "stored")


@pytest.mark.parametrize(
    "content", [{}, [], "text", {"prediction_id": 1, "score": 0.5}, {"prediction_id": "p"}]
)
def test_a_200_without_a_prediction_is_a_fault(content: Any) -> None:
    assert outcome_of(api_answer(200, content)).fault


def test_a_batch_gives_its_predictions_and_its_problems() -> None:
    row = problem(HTTPStatus.SERVICE_UNAVAILABLE, "Later.")
    given_row = {"prediction": {"prediction_id": "p", "score": 0.5}}
    outcome = outcome_of(api_answer(200, {"results": [given_row, {"problem": row}]}))
    assert (outcome.prediction_ids, outcome.fault) == (("p",), "")
    assert outcome_of(api_answer(200, {"results": [given_row, {"problem": {**row, "status": 422}}]})).fault
    assert outcome_of(api_answer(200, {"results": [{}]})).fault


@pytest.mark.parametrize("status", [HTTPStatus(status) for status in REFUSALS])
def test_a_refusal_that_passes_is_no_fault(status: HTTPStatus) -> None:
    outcome = outcome_of(refused(status))
    assert (outcome.status, outcome.title, outcome.fault) == (status, REFUSALS[status], "")


@pytest.mark.parametrize(
    "answer",
    [
        refused(HTTPStatus.INTERNAL_SERVER_ERROR),  # what nobody foresaw
        refused(HTTPStatus.UNPROCESSABLE_ENTITY),  # the requests are sound
        refused(HTTPStatus.SERVICE_UNAVAILABLE, title="Sorry"),
        refused(HTTPStatus.SERVICE_UNAVAILABLE, status=500),
        refused(HTTPStatus.SERVICE_UNAVAILABLE, status="503"),
        refused(HTTPStatus.SERVICE_UNAVAILABLE, instance="none"),
        api_answer(503, {"message": "down"}, Content_Type=PROBLEM_JSON, Retry_After="1"),
        api_answer(503, problem(HTTPStatus.SERVICE_UNAVAILABLE, "No."), Content_Type=PROBLEM_JSON),
        api_answer(503, problem(HTTPStatus.SERVICE_UNAVAILABLE, "No."), Content_Type="text/html"),
        api_answer(502, {"errors": []}, Content_Type="application/json"),
    ],
)
def test_any_other_refusal_is_a_fault(answer: ApiAnswer) -> None:
    assert outcome_of(answer).fault


def test_the_emulators_words_for_a_process_that_ended_are_no_fault() -> None:
    outcome = outcome_of(api_answer(502, {"message": "Worker process died"}))
    assert (outcome.title, outcome.fault) == (PROCESS_ENDED, "")


def test_what_is_taken_for_a_refusal_is_documented() -> None:
    rows = DOCS.read_text().split("## Problems")[1].split("###")[0]
    documented = {line.split("|")[1].strip() for line in rows.splitlines() if line.startswith("| ")}
    assert {str(int(status)) for status in (*REFUSALS, HTTPStatus.BAD_GATEWAY)} <= documented


# -- what is called broken --


def asked(*ids: str, **changes: Any) -> Asked:
    outcome = changes.pop("outcome", Outcome(200, "OK", ids))
    return Asked(**{"at_s": 0.0, "seconds": 0.1, "kind": "single", "outcome": outcome, **changes})


def held(requests: Sequence[Asked], rows: Mapping[str, int], **changes: Any) -> dict[str, Any]:
    copies = changes.pop("copies", rows)
    return judgement(
        requests, Archived(rows, copies, changes.pop("differences", ())), changes.pop("unanswered", 0)
    )


def test_nothing_is_missed_where_every_answer_has_its_record() -> None:
    found = held(
        [asked("a"), asked("b", "c")], {"a": 1, "b": 1, "c": 1, "nobody's": 1}, copies={"a": 3, "b": 1}
    )
    assert found["missed"] == []
    assert (found["predictions_given"], found["records_of_no_answer"], found["copies_in_the_objects"]) == (
        3,
        1,
        2,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": {"a": 1}}, "1 answers have no record in the archive: b"),
        ({"rows": {"a": 2, "b": 1}}, "1 predictions have more than one row in the table predictions: a"),
        (
            {"requests": [asked(outcome=no_answer("Timed out."))]},
            "1 requests were neither answered nor refused",
        ),
        ({"differences": ["One differs."]}, "1 counts of the rollup are not the archive's: One differs."),
        ({"unanswered": 2}, "2 idempotency keys had no clear answer when all was well again."),
        (
            {
                "requests": [
                    asked("a", key="k"),
                    asked("b", key="k", outcome=Outcome(200, "OK", ("b",), body_sha256="x")),
                ]
            },
            "1 idempotency keys gave two answers: k",
        ),
    ],
)
def test_each_way_to_break_the_promise_is_said(changes: dict[str, Any], said: str) -> None:
    requests = changes.pop("requests", [asked("a"), asked("b")])
    rows = changes.pop("rows", {"a": 1, "b": 1})
    (sentence,) = held(requests, rows, **changes)["missed"]
    assert sentence.startswith(said)


def test_an_answer_that_was_marked_binds_no_key() -> None:
    unguarded = Outcome(200, "OK", ("a",), key_status="unavailable", body_sha256="x")
    stored = Outcome(200, "OK", ("b",), key_status="stored", body_sha256="y")
    assert broken_keys([asked(key="k", outcome=unguarded), asked(key="k", outcome=stored)]) == []


def test_requests_are_counted_by_phase_and_latency_is_a_ratio() -> None:
    quiet = [asked("q", seconds=0.1) for _ in range(20)]
    out = [asked("o", at_s=1.0, seconds=0.25) for _ in range(20)]
    requests = [*quiet, *out, asked(at_s=1.0, outcome=no_answer("Gone."))]

    def phase_of(one: Asked) -> str:
        return "stream hangs" if one.at_s else QUIET

    assert outcomes(requests, phase_of) == {
        QUIET: {"200 OK": 20},
        "stream hangs": {"200 OK": 20, "no answer": 1},
    }
    assert latency_ratios(requests, phase_of) == {
        "stream hangs": {"p50": pytest.approx(2.5), "p90": pytest.approx(2.5), "p99": pytest.approx(2.5)}
    }
    assert latency_ratios(requests[1:], phase_of) == {}


# -- the load --


class Api:
    """An API that says what it is told to, and remembers what it was asked."""

    def __init__(self, answers: Iterator[ApiAnswer | Exception]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str | None]] = []

    def post(self, path: str, body: bytes, *, headers: Mapping[str, str] | None = None) -> ApiAnswer:
        self.asked.append((path, (headers or {}).get("Idempotency-Key")))
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_key_without_a_clear_answer_is_asked_until_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.soak_load.RETRY_AFTER_S", 0)
    clear = api_answer(200, {"prediction_id": "p", "score": 0.5}, Idempotency_Status="stored")
    api = Api(iter([Unavailable("Gone."), refused(HTTPStatus.CONFLICT), clear]))
    load = Load(api, "card-fraud", [{"entity_id": "card_1"}], seed=1)  # type: ignore[arg-type]  # of its kind
    load._ask_keyed(load.new_key({"entity_id": "card_1"}))
    assert load.settle(10) == 0
    assert len({key for _, key in api.asked}) == 1
    assert [one.outcome.status for one in load.asked] == [0, 409, 200]


def test_a_key_that_gets_no_answer_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.soak_load.RETRY_AFTER_S", 0.01)
    load = Load(Api(iter(lambda: refused(HTTPStatus.CONFLICT), None)), "card-fraud", [{}], seed=1)  # type: ignore[arg-type]
    load._ask_keyed(load.new_key({}))
    assert load.settle(0.1) == 1


class Clock:
    """Stands still unless somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_calibration_stops_where_more_callers_get_no_more_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.soak.time", Clock())

    class Stage(Load):
        """Two callers are all it can bear."""

        is_warm = True

        def run(self, callers: int) -> None:
            self._running = [None] * callers  # type: ignore[list-item]  # only counted

    load = Stage(Api(iter(())), "card-fraud", [{}], seed=1)  # type: ignore[arg-type]

    class Growing(list[Asked]):
        def __len__(self) -> int:
            Growing.seen += 100 * min(load.callers, 2)
            return Growing.seen

        seen = 0

    load.asked = Growing([asked("p")])
    found = calibrate(load, (1, 2, 4, 8), 0.01, lambda _: None)
    assert list(found) == [1, 2, 4]
    assert load.callers == 2


def test_a_stage_that_answers_nothing_is_told_and_not_soaked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.soak.PATIENCE_S", 0.5)
    answers = iter(lambda: refused(HTTPStatus.SERVICE_UNAVAILABLE), None)
    load = Load(Api(answers), "card-fraud", [{"entity_id": "card_1"}], seed=1)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="1 callers get answers"):
        calibrate(load, (1,), 0.1, lambda _: None)
    load.run(0)
    assert load.asked


# -- carrying it out --


class Recorder:
    """The wire, and the registry that says no to the second change of route."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.injected: Counter[str] = Counter()
        self.forwarded = 5

    def fail(self, outage: Outage) -> None:
        self.did.append(str(outage))

    def heal(self) -> None:
        self.did.append("healed")

    def start_rollout(self, endpoint: str, model: str, **_: Any) -> None:
        self.did.append(f"{model} rolled out")

    def abort_rollout(self, endpoint: str, *, reason: str) -> None:
        raise Unavailable("The registry is away.")


def carried_out(tmp_path: Path) -> tuple[Schedule, Recorder, Injected, Load]:
    phases = (Phase(0, 0.3), Phase(0.3, 0.5, OUTAGES[0]), Phase(0.5, 1))
    schedule = Schedule(phases, (Kill(0.1, Killed.SCORE, 0.5),))
    recorder, load = Recorder(), Load(Api(iter(())), "card-fraud", [{}], seed=1)  # type: ignore[arg-type]
    said: list[str] = []
    injected = conduct(
        schedule,
        recorder,
        tmp_path,
        recorder,
        "card-fraud",
        "card-fraud@2",
        load,
        said.append,  # type: ignore[arg-type]
    )
    told = [line.split(" for ")[0] for line in said if " requests, " in line]
    assert told == [phase.name for phase in phases]
    return schedule, recorder, injected, load


def test_outages_begin_and_end_and_the_route_moves_while_it_is_quiet(tmp_path: Path) -> None:
    _, recorder, injected, _ = carried_out(tmp_path)
    assert recorder.did == ["healed", "card-fraud@2 rolled out", "healed", "registry cut", "healed", "healed"]
    assert [done["what"] for done in injected.done] == [
        "card-fraud@2 rolled out to 20 %: done",
        "registry cut",
        "rollout aborted: The registry is away.",
    ]
    assert injected.kills == {}  # nobody of the folder lives


@pytest.mark.parametrize(
    ("since", "kills"),
    [
        ([], {}),
        ([asked(outcome=no_answer("Gone.")), asked(outcome=Outcome(502, PROCESS_ENDED))], {}),
        ([asked(outcome=Outcome(503, "Service Unavailable"))], {"score-card-fraud": 1}),
        ([asked("a")], {"score-card-fraud": 1}),
    ],
)
def test_a_kill_waits_until_somebody_has_answered_since_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, since: list[Asked], kills: dict[str, int]
) -> None:
    monkeypatch.setattr("bench.soak_conductor.workers", lambda _: [Worker(1, "score-card-fraud")])
    monkeypatch.setattr("bench.soak_conductor.end", lambda _: True)
    load = Load(Api(iter(())), "card-fraud", [{}], seed=1)  # type: ignore[arg-type]
    load.asked = since
    # Two kills are due, and nobody answers after the first
    schedule = Schedule((Phase(0, 0.3),), (Kill(0.0, Killed.SCORE, 0.5), Kill(0.1, Killed.SCORE, 0.5)))
    recorder = Recorder()
    injected = conduct(
        schedule,
        recorder,
        tmp_path,
        recorder,
        "card-fraud",
        "card-fraud@2",
        load,
        lambda _: None,  # type: ignore[arg-type]
    )
    assert injected.kills == kills


def test_the_rollout_that_is_started_under_load_is_one() -> None:
    at = "2026-11-26T12:00:00.000Z"
    plan = Rollout(
        number=2,
        model="card-fraud@2",
        steps_bp=STEPS_BP,
        bake_seconds=BAKE_SECONDS,
        started_at=at,
        step_at=at,
    )
    assert plan.steps_bp == STEPS_BP


def test_the_figures_say_what_was_injected_and_what_was_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule, recorder, injected, load = carried_out(tmp_path)
    load.asked = [asked("a", at_s=10.1), asked("b", at_s=10.4)]
    recorder.injected["registry cut"] = 3
    soaked = Soaked(schedule, load, 2, injected, {1: 10.0, 2: 12.0}, 10.0, 0, 4)
    content = content_of(soaked, Archived({"a": 1}, {"a": 2}), recorder)  # type: ignore[arg-type]
    assert content["outcomes"] == {QUIET: {"200 OK": 1}, "registry cut": {"200 OK": 1}}
    assert (content["callers"], content["records_put_back"], content["calls_forwarded"]) == (2, 4, 5)
    show(content)
    assert "MISSED: 1 answers have no record in the archive: b" in capsys.readouterr().out
