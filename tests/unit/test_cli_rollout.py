"""``quicksilver rollout`` against a registry and a rollup in memory: what a person types, sees and is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from typer.testing import CliRunner

from quicksilver.aws.registry_client import RegistryClient
from quicksilver.cli import app as cli
from quicksilver.cli.rollout_plan import bake_seconds, in_words, steps_bp
from quicksilver.cli.route import percent
from quicksilver.errors import InvalidInput, Unavailable
from quicksilver.registry_api import RegistryApi
from quicksilver.rollout_plan import Rollout
from tests.approvals import GRACE
from tests.in_process import InProcess
from tests.rollouts import CANARY, CHAMPION, ENDPOINT, OTHER, World

runner = CliRunner()


@dataclass
class Deployed:
    """A stage as the command line reaches it."""

    world: World

    def __post_init__(self) -> None:
        self.registry = RegistryClient(InProcess(RegistryApi(self.world.registry), GRACE))  # type: ignore[arg-type]
        self.rollup = self.world.rollup

    def function(self, service: str) -> str:
        return service

    def invoke(self, function: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        assert (function, event) == ("rollout", {})
        return self.world.run.run()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr("quicksilver.cli.rollout.deployed_stage", lambda *_: Deployed(world))
    monkeypatch.setattr("quicksilver.cli.rollout.SystemClock", lambda: world.clock)
    return world


def run(*arguments: str) -> Any:
    return runner.invoke(cli.app, ["rollout", *arguments])


def on_endpoint(command: str, *arguments: str) -> Any:
    return run(command, "--endpoint", ENDPOINT, *arguments)


START = ("--model", CANARY, "--reason", "Better.", "--yes")


def current(world: World) -> Rollout:
    assert world.route.rollout is not None
    return world.route.rollout


# -- start --


def test_a_rollout_is_started_as_it_is_typed(world: World, tmp_path: Path) -> None:
    on_endpoint("abort", "--reason", "Anew.", "--yes")
    guards = tmp_path / "guards.toml"
    guards.write_text("alpha = 0.02\nmin_requests = 500\n")
    result = on_endpoint("start", *START, "--steps", "0.5, 25,100", "--bake", "2h", "--guards", str(guards))
    assert result.exit_code == 0, result.output
    rollout = current(world)
    assert (rollout.steps_bp, rollout.bake_seconds) == ((50, 2_500, 10_000), 7_200)
    assert (rollout.guards.alpha, rollout.guards.min_requests) == (0.02, 500)
    assert (
        "Roll out card-fraud@2 on card-fraud in stage local: 0.5 %, then 25 %, then 100 %." in result.stderr
    )
    assert "Each step bakes for 2h and 500 requests at least." in result.stderr


def test_nothing_starts_without_a_yes(world: World) -> None:
    on_endpoint("abort", "--reason", "Anew.", "--yes")
    before = world.moves()
    result = runner.invoke(cli.app, ["rollout", "start", "--endpoint", ENDPOINT, *START[:-1]], input="n\n")
    assert result.exit_code != 0
    assert world.moves() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--steps", "1,x,100"), "--steps: 'x' is no share in per cent"),
        (("--steps", "0,100"), "--steps: 0 is not a share from 0.01 to 100"),
        (("--steps", "0.001,100"), "--steps: 0.001 has more than two decimals"),
        (("--steps", "1,nan,100"), "--steps: 'nan' is no share"),
        (("--steps", "1,inf,100"), "--steps: 'inf' is no share"),
        (("--steps", "5,1,100"), "--steps: each step must be larger than the one before it"),
        (("--steps", "1,50"), "--steps: the last step must be 100 %"),
        (("--steps", "100"), "--steps: a rollout has a step below 100 %"),
        (("--bake", "ten"), "--bake: 'ten' is no duration, such as 30s"),
        (("--bake", "8d"), "bake_seconds: Input should be less than or equal to 604800"),
        (("--guards", "nowhere.toml"), "--guards: nowhere.toml"),
        (("--model", "credit-line@1"), "--model: must begin with card-fraud@"),
        (("--model", "card-fraud@9"), "There is no model version card-fraud@9."),
        (("--model", CHAMPION), "model: card-fraud@1 is the champion already"),
    ],
)
def test_what_makes_no_rollout_is_refused_in_a_sentence(
    world: World, arguments: tuple[str, ...], sentence: str
) -> None:
    on_endpoint("abort", "--reason", "Anew.", "--yes")
    before = world.moves()
    result = on_endpoint("start", *START, *arguments)
    assert result.exit_code == 1
    assert sentence in " ".join(result.stderr.split())
    assert world.moves() == before


def test_a_file_of_guards_that_says_nonsense_is_refused_by_its_field(world: World, tmp_path: Path) -> None:
    guards = tmp_path / "guards.toml"
    guards.write_text("alpha = 2\n")
    result = on_endpoint("start", *START, "--guards", str(guards))
    assert (result.exit_code, "alpha" in result.stderr) == (1, True)


def test_a_second_rollout_is_refused(world: World) -> None:
    result = on_endpoint("start", *START)
    assert result.exit_code == 1
    assert "The rollout of card-fraud@2 moves the route of card-fraud; end it first." in result.stderr


@given(st.integers(1, 9_999))
def test_a_share_reads_back_as_it_was_shown(share_bp: int) -> None:
    assert steps_bp(f"{percent(share_bp)},100") == (share_bp, 10_000)


@given(st.integers(1, 7 * 86_400))
def test_a_duration_reads_back_as_it_was_shown(seconds: int) -> None:
    assert bake_seconds(in_words(seconds)) == seconds


@given(st.text(max_size=8))
def test_any_text_is_a_plan_or_a_refusal_and_no_other_error(text: str) -> None:
    for read in (steps_bp, bake_seconds):
        with suppress(InvalidInput):
            assert read(text)


# -- status --


def test_status_shows_share_step_requests_and_every_guard_in_100_columns(world: World) -> None:
    for _ in world.minutes(2):
        pass
    output = on_endpoint("status").stdout
    for text in (
        "card-fraud@2 against card-fraud@1",
        "[5 %] > 50 % > 100 %",
        "baked 120 s of 2m; 600 requests of 200",
        "canary 600, champion 11,400",
        "advance: Every guard is within its limit",
        "error rate",
        "approval rate",
    ):
        assert text in output
    assert max(map(len, output.splitlines())) <= 100


def test_status_as_json_is_the_route_and_the_look(world: World) -> None:
    content = json.loads(on_endpoint("status", "--json").stdout)
    assert content["route"] == world.route.model_dump(mode="json")
    assert content["look"]["verdict"] == "hold"
    assert content["look"]["guards"][0]["name"] == "error_rate"


def test_status_where_no_rollout_runs_says_so(world: World) -> None:
    world.rollouts.abort(ENDPOINT, reason="Enough.", who=GRACE)
    result = on_endpoint("status")
    assert (result.exit_code, result.stderr.strip()) == (1, "error No rollout is running on card-fraud.")


def test_watching_ends_with_the_rollout_and_says_how(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    minutes = world.minutes(10)

    def a_minute_later(_: float) -> None:
        next(minutes)
        world.run.run()

    monkeypatch.setattr("quicksilver.cli.rollout.sleep", a_minute_later)
    output = on_endpoint("status", "--watch").stdout
    assert "[5 %] > 50 % > 100 %" in output
    assert "5 % > [50 %] > 100 %" in output
    assert "2 completed" in output
    assert world.route.champion.model == CANARY


def test_a_rollup_that_does_not_answer_is_an_error_in_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("The rollup cannot be reached.")

    monkeypatch.setattr(world.rollup, "periods", fail)
    result = on_endpoint("status")
    assert (result.exit_code, "The rollup cannot be reached." in result.stderr) == (1, True)


# -- pause, resume, abort, run, history --


def test_pausing_and_resuming(world: World) -> None:
    output = on_endpoint("pause", "--reason", "A holiday.", "--yes").stdout
    assert "(paused)" in output
    assert current(world).paused
    assert on_endpoint("resume", "--reason", "Back.", "--yes").exit_code == 0
    assert not current(world).paused
    result = on_endpoint("resume", "--reason", "Back.", "--yes")
    assert "is not paused" in result.stderr


def test_an_abort_takes_effect_at_once(world: World) -> None:
    result = on_endpoint("abort", "--reason", "Complaints.", "--yes")
    assert result.exit_code == 0
    assert [(arm.model, arm.share_bp) for arm in world.route.arms] == [(CHAMPION, 10_000)]
    assert "2 aborted" in result.stdout


def test_run_does_what_the_schedule_does(world: World) -> None:
    for _ in world.minutes(2):
        pass
    output = run("run", "--yes").stdout
    assert "advance: Every guard" in output
    assert current(world).step == 1


def test_the_history_of_rollouts_has_each_decision_with_its_numbers(world: World) -> None:
    for _ in world.minutes(5):
        world.run.run()
    result = on_endpoint("history")
    for text in ("2 started", "2 hold", "2 advanced", "2 completed", "@1 50 %, @2 50 %", "its guards"):
        assert text in " ".join(result.stdout.replace("│", " ").split())
    assert max(map(len, result.stdout.splitlines())) <= 100
    entries = json.loads(on_endpoint("history", "--json").stdout)
    moves = [entry["details"]["rollout"].get("move") for entry in entries]
    assert [move for move in moves if move] == ["started", "advanced", "completed"]
    assert all("guards" in entry["details"]["rollout"]["look"] for entry in entries[1:])


# -- report --


def test_a_report_is_a_sentence_tables_json_and_a_page(world: World, tmp_path: Path) -> None:
    for _ in world.minutes(6):
        world.run.run()
    shown = on_endpoint("report").stdout
    assert shown.startswith("Rollout 2 of card-fraud@2 against card-fraud@1, started by user/grace (Better)")
    assert max(map(len, shown.splitlines()[1:])) <= 100, "the sentence is as long as it is"
    for text in ("completed", "its guards", "approval rate", "champion", "canary", "p99"):
        assert text in shown
    page = tmp_path / "rollout.html"
    said = json.loads(on_endpoint("report", "--json", "--html", str(page)).stdout)
    assert (said["standing"], said["number"], said["gone_before"]) == ("completed", 2, None)
    assert "card-fraud@2 against card-fraud@1" in page.read_text()


def test_an_earlier_rollout_is_reported_by_its_number(world: World) -> None:
    on_endpoint("abort", "--reason", "Anew.", "--yes")
    on_endpoint("start", *START)
    assert json.loads(on_endpoint("report", "--json").stdout)["number"] == 4
    earlier = json.loads(on_endpoint("report", "--json", "--rollout", "2").stdout)
    assert (earlier["number"], earlier["standing"]) == (2, "aborted")


def test_a_report_on_no_rollout_says_so_and_what_there_is(world: World, tmp_path: Path) -> None:
    result = run("report", "--endpoint", OTHER)
    assert result.exit_code == 1
    assert "credit-line has had no rollout yet." in result.stderr
    assert "quicksilver rollout start --endpoint credit-line" in result.stderr
    result = on_endpoint("report", "--rollout", "7")
    assert (result.exit_code, "card-fraud has had no rollout 7." in result.stderr) == (1, True)
    assert "It has had: 2" in result.stderr


def test_a_page_that_cannot_be_written_is_an_error_in_a_sentence(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = on_endpoint("report", "--html", str(tmp_path / "file" / "page.html"))
    assert result.exit_code == 1
    assert "page.html cannot be written: " in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_a_report_without_the_rollup_is_an_error_in_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("The rollup cannot be reached.")

    monkeypatch.setattr(world.rollup, "periods", fail)
    result = on_endpoint("report")
    assert (result.exit_code, "The rollup cannot be reached." in result.stderr) == (1, True)
