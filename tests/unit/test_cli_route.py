"""``quicksilver route`` against the registry's API itself, in one process."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from quicksilver.aws.registry_client import RegistryClient
from quicksilver.cli.app import app
from quicksilver.experiment_plan import Experiment, TermsWanted
from quicksilver.registry_api import RegistryApi
from quicksilver.rollout_plan import Rollout
from quicksilver.route_draft import RouteDraft
from tests.approvals import GRACE, bring_to_approved
from tests.conftest import train
from tests.unit.test_registry_client import InProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from quicksilver.package import Package
    from tests.conftest import Trained
    from tests.unit.conftest import Bench

T = "2026-11-23T00:00:00.000Z"
Run = Any


@pytest.fixture
def run(bench: Bench, second_package: Package, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``quicksilver route`` as Grace, on a registry with three approved model versions."""
    for package in (second_package, train(trained.contract, seed=12).pack()):
        bench.artifacts.put(package.sha256, package.files)
        bring_to_approved(bench.registry, package)
    stage = SimpleNamespace(registry=RegistryClient(InProcess(RegistryApi(bench.registry), GRACE)))  # type: ignore[arg-type]
    monkeypatch.setattr("quicksilver.cli.route.deployed_stage", lambda *_: stage)

    def run(command: str, *words: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, ["route", command, "--endpoint", "card-fraud", *words], input=answer)

    return run


def set_(run: Run, *words: str) -> Result:
    return run("set", *words, "--reason", "Try it.", "--yes")


def arms(bench: Bench) -> list[tuple[str, str, int]]:
    route = bench.registry.current_route("card-fraud")
    return [(arm.role.value, arm.model, arm.share_bp) for arm in route.arms]


def test_the_champion_takes_what_the_other_arms_leave(bench: Bench, run: Run) -> None:
    result = set_(run, "--arm", "canary:card-fraud@2:2.5%", "--arm", "shadow:card-fraud@3", "--holdout", "1")
    assert result.exit_code == 0, result.output
    assert arms(bench) == [
        ("champion", "card-fraud@1", 9_750),
        ("canary", "card-fraud@2", 250),
        ("shadow", "card-fraud@3", 0),
    ]
    assert bench.registry.current_route("card-fraud").holdout_bp == 100
    assert "1 % of the entities, which always see the champion" in result.output


def test_arms_that_are_not_named_are_taken_off_and_the_holdout_stays(bench: Bench, run: Run) -> None:
    set_(run, "--arm", "canary:card-fraud@2:50", "--holdout", "2")
    result = set_(run, "--champion", "card-fraud@2")
    assert arms(bench) == [("champion", "card-fraud@2", 10_000)]
    assert bench.registry.current_route("card-fraud").holdout_bp == 200
    assert (
        "Route card-fraud in stage local to champion card-fraud@2 100 %, holdout 2 %. It is "
        "champion card-fraud@1 50 %, canary card-fraud@2 50 %, holdout 2 % now.\n" in result.stderr
    )


def test_a_plan_that_is_refused_changes_nothing(bench: Bench, run: Run) -> None:
    result = run("set", "--arm", "canary:card-fraud@2:50", "--reason", "Try it.", answer="n\n")
    assert result.exit_code == 1
    assert arms(bench) == [("champion", "card-fraud@1", 10_000)]


def test_a_route_that_changed_while_a_person_thought_is_not_replaced(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object, **__: object) -> None:
        champion = bench.registry.current_route("card-fraud").champion
        bench.registry.set_route("card-fraud", [champion], reason="Mine.", who=GRACE)

    monkeypatch.setattr("quicksilver.cli.route.confirm", meanwhile)
    result = set_(run, "--arm", "canary:card-fraud@2:50")
    assert result.exit_code == 1
    assert "The route of card-fraud is 2 now, not 1; look again." in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--arm", "canary:card-fraud@2"], "--arm: the share of a canary is missing"),
        (["--arm", "shadow:card-fraud@2:5"], "--arm: a shadow has no share"),
        (["--arm", "champion:card-fraud@2:5"], "--arm: must be ROLE:MODEL:SHARE, its role one of canary, challenger, shadow"),
        (["--arm", "card-fraud@2"], "--arm: must be ROLE:MODEL:SHARE"),
        (["--arm", "canary:card-fraud@2:0.005"], "--arm: must be per cent, 0 to 100, with two decimals at most"),
        (["--arm", "canary:card-fraud@2:NaN"], "--arm: must be per cent"),
        (["--arm", "canary:card-fraud@2:-1"], "--arm: must be per cent"),
        (["--arm", "canary:card-fraud@2:101"], "--arm: must be per cent"),
        (["--arm", "canary:card-fraud@2:60", "--arm", "challenger:card-fraud@3:41"], "--arm: adds up to 101 %"),
        (["--holdout", "lots"], "--holdout: must be per cent"),
        (["--champion", "credit-line@1"], "--champion: must begin with card-fraud@"),
        (["--arm", "canary:card-fraud@9:1"], "There is no model version card-fraud@9."),
        (["--arm", "canary:card-fraud@1:1"], "a model version answers by one arm only"),
    ],
)  # fmt: skip
def test_what_makes_no_route_is_one_sentence_and_what_to_do(
    bench: Bench, run: Run, words: list[str], sentence: str
) -> None:
    result = set_(run, *words)
    assert result.exit_code == 1, result.output
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert arms(bench) == [("champion", "card-fraud@1", 10_000)]


def test_an_endpoint_without_a_route_needs_a_champion(run: Run) -> None:
    result = CliRunner().invoke(
        app, ["route", "set", "--endpoint", "credit-line", "--reason", "First.", "--yes"]
    )
    assert result.exit_code == 1
    assert "The endpoint credit-line has no champion yet." in result.stderr
    assert "--champion: is needed" in result.stderr


@pytest.fixture
def moved(bench: Bench, run: Run) -> Callable[..., Result]:
    """The history of an endpoint that a rollout and an experiment have moved."""
    champion = bench.registry.current_route("card-fraud").champion
    set_(run, "--arm", "canary:card-fraud@2:1", "--arm", "challenger:card-fraud@3:10", "--holdout", "1")
    three = bench.registry.current_route("card-fraud")
    rollout = Rollout(
        number=3, model="card-fraud@2", steps_bp=(100, 500, 2_500, 5_000, 10_000), bake_seconds=600,
        started_at=T, step=1, step_at=T, paused=True,
    )  # fmt: skip
    experiment = Experiment(
        number=4, challenger="card-fraud@3", share_bp=1_000, started_at=T, terms=TermsWanted().at(0.5)
    )
    for draft in (
        RouteDraft(three.arms, holdout_bp=100, rollout=rollout),
        RouteDraft(three.arms, experiment=experiment),
        RouteDraft((champion,)),
    ):
        bench.clock.advance_ms(60_000)
        bench.registry.change_route("card-fraud", lambda *_, draft=draft: draft, reason="Move.", who=GRACE)
    return run


def test_history_has_every_route_the_newest_first_and_what_moved_it(bench: Bench, moved: Run) -> None:
    result = moved("history")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    text = " ".join(" ".join(lines).replace("│", " ").split())
    numbers = [cell for line in lines if (cell := line[1:4].strip()).isdigit()]
    assert numbers == ["5", "4", "3", "2", "1"]
    for part in ("rollout 3", "step 2 of 5, paused", "experiment 4", "holdout 1 %", "user/grace"):
        assert part in text, part


def test_history_is_limited_to_the_newest_and_whole_as_json(bench: Bench, moved: Run) -> None:
    routes = json.loads(moved("history", "--limit", "2", "--json").stdout)
    assert [route["number"] for route in routes] == [5, 4]
    assert routes[1] == bench.registry.routes("card-fraud", after=3)[0].model_dump(mode="json")
    assert [route["number"] for route in json.loads(moved("history", "--json").stdout)] == [5, 4, 3, 2, 1]


def test_an_endpoint_without_a_route_has_no_history(run: Run) -> None:
    result = CliRunner().invoke(app, ["route", "history", "--endpoint", "credit-line"])
    assert result.exit_code == 1
    assert "has no route yet" in result.stderr


def test_show_says_what_moves_the_route_and_whom_it_holds_out(
    bench: Bench, moved: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {}
    for number in (3, 4):
        route = bench.registry.routes("card-fraud", after=number - 1)[0]
        monkeypatch.setattr(bench.registry_store, "current_route", lambda _, route=route: route)
        shown[number] = moved("show").stdout
        assert max(map(len, shown[number].splitlines())) <= 100
    lines = {number: [" ".join(line.split()) for line in text.splitlines()] for number, text in shown.items()}
    assert lines[3][-5:] == [
        "by user/grace",
        "holdout 1 % of the entities, which always see the champion",
        f"rollout of card-fraud@2 from route 3 on, since {T}",
        f"now step 2 of 5, paused, since {T}",
        "steps 1 %, 5 %, 25 %, 50 %, 100 %; 600 s each",
    ]
    assert lines[4][-2:] == ["experiment with card-fraud@3 at 10 %, from route 4 on", f"since {T}"]
