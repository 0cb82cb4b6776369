"""The example as a team would use it: handed over, replayed, queried, and QA's saved events."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from examples.card_fraud.replay import Replay, select_replay
from examples.card_fraud.simulator import SimulationConfig
from examples.card_fraud.train import Trained, train
from quicksilver.aws import clients
from quicksilver.cli import app as cli
from quicksilver.package_files import write_package
from tests.local_stack import eventually

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

EVENTS = Path(__file__).resolve().parents[2] / "events"
STATUSES = {
    "score_card_fraud": 200,
    "score_card_fraud_unknown_category": 200,
    "score_card_fraud_not_json": 400,
    "score_card_fraud_unknown_feature": 422,
    "score_card_fraud_missing_amount": 422,
}


@dataclass
class HandedOver:
    """The trained example, live on the local stage, and what to replay on it."""

    stack: LocalStack
    trained: Trained
    replay: Replay
    package_folder: Path
    model: str


@pytest.fixture(scope="module")
def handed_over(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> HandedOver:
    trained = train(SimulationConfig(transactions=40_000, cards=2_000), rounds=60)
    package = trained.pack()
    folder = tmp_path_factory.mktemp("packages") / "card-fraud"
    write_package(package, folder)
    model = local_stack.put_champion(package)
    replay = select_replay(trained.contract, trained.transactions, trained.frame, n=100)
    local_stack.features.write(replay.feature_rows(time.time_ns() // 1_000_000))
    return HandedOver(local_stack, trained, replay, folder, model)


@pytest.fixture
def run(handed_over: HandedOver, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command of the CLI on this session's stack."""
    monkeypatch.setattr("os.environ", dict(os.environ))
    for command in ("score", "invoke", "query", "model_registry", "route", "registry"):
        monkeypatch.setattr(f"quicksilver.cli.{command}.deployed_stage", lambda *_: handed_over.stack)
    clients.client.cache_clear()

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(cli.app, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


def test_replayed_transactions_score_as_the_training_side_says(handed_over: HandedOver) -> None:
    rows = handed_over.replay.rows
    answers = [handed_over.stack.score(row.body).content for row in rows]
    expected = handed_over.trained.booster.predict([row.vector for row in rows], raw_score=True)
    assert [answer["raw_score"] for answer in answers] == list(expected)
    ids = [answer["prediction_id"] for answer in answers]
    records = eventually(
        lambda: len(found := handed_over.stack.archived(ids)) >= len(ids) and found, "archived"
    )
    assert sorted(record["prediction_id"] for record in records) == sorted(ids)


def test_every_saved_event_has_its_expectation() -> None:
    assert {path.stem for path in EVENTS.glob("score_*.json")} == STATUSES.keys()


@pytest.mark.parametrize("name", STATUSES)
def test_a_saved_event_gets_the_same_answer_deployed_and_in_process(run: Any, name: str) -> None:
    arguments = ("invoke", "score", "--event", str(EVENTS / f"{name}.json"))
    deployed, here = run(*arguments), run(*arguments, "--in-process")
    assert deployed["statusCode"] == here["statusCode"] == STATUSES[name]
    same = ("raw_score", "status", "detail", "errors")
    assert {n: deployed["body"].get(n) for n in same} == {n: here["body"].get(n) for n in same}


def test_the_redeliver_event_finds_nothing_to_do(run: Any) -> None:
    assert run("invoke", "redeliver", "--event", str(EVENTS / "redeliver.json")) == {
        "delivered": 0,
        "refused": 0,
        "unreadable": 0,
    }


def test_a_request_by_hand(run: Any) -> None:
    answer = run(
        "score", "--endpoint", "card-fraud", "--entity", "card_000042", "--set", "amount=812.50", "--set", "channel=pos"
    )  # fmt: skip
    assert 0 < answer["score"] < 1
    assert answer["entity_id"] == "card_000042"


def test_the_archive_answers_sql(run: Any) -> None:
    run(
        "score",
        "--endpoint",
        "card-fraud",
        "--entity",
        "card_sql",
        "--set",
        "amount=1",
        "--set",
        "channel=pos",
    )
    rows = eventually(
        lambda: run(
            "query", "select entity_id, model, len(vector) n from predictions where entity_id = 'card_sql'"
        ),
        "the record is archived",
    )
    assert rows[0]["n"] == 30


def test_registering_the_same_package_again_by_hand_gives_the_same_model_version(
    run: Any, handed_over: HandedOver
) -> None:
    folder = str(handed_over.package_folder)
    again = run("model", "register", folder, "--endpoint", "card-fraud", "--yes")
    assert (again["name"], again["state"]) == (handed_over.model, "approved")
    listed = run("model", "list", "--endpoint", "card-fraud")
    assert handed_over.model in {f"card-fraud@{item['number']}" for item in listed}
    assert run("model", "show", handed_over.model)["approval"]["approver"].endswith("user/grace")


def test_a_route_set_by_hand_is_the_next_number_and_carries_the_callers_identity(
    run: Any, handed_over: HandedOver
) -> None:
    arguments = ("--endpoint", "card-fraud", "--champion", handed_over.model, "--reason", "By hand.", "--yes")
    before = run("route", "show", "--endpoint", "card-fraud")
    after = run("route", "set", *arguments)
    assert after["number"] == before["number"] + 1
    assert after["author"].endswith("user/ada")
    at = run("registry", "at", "--endpoint", "card-fraud", "--time", after["created_at"])
    assert at["number"] == after["number"]
    last = run("registry", "history", "--endpoint", "card-fraud")[-1]
    assert (last["action"], last["reason"], last["who"]) == ("routed", "By hand.", after["author"])


def test_the_registry_holds_when_it_is_audited(run: Any) -> None:
    result = run("registry", "verify", "--endpoint", "card-fraud")
    assert result["findings"] == []
    assert result["signatures"] >= 1


def test_a_change_is_not_made_without_a_yes(handed_over: HandedOver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quicksilver.cli.route.deployed_stage", lambda *_: handed_over.stack)
    before = handed_over.stack.registry.current_route("card-fraud").number
    result = CliRunner().invoke(
        cli.app,
        ["route", "set", "--endpoint", "card-fraud", "--champion", handed_over.model, "--reason", "No."],
        input="n\n",
    )
    assert result.exit_code == 1
    assert handed_over.stack.registry.current_route("card-fraud").number == before
