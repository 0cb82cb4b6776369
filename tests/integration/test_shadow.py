"""A shadow on the emulator: it comes while traffic runs, scores every prediction, and costs the callers nothing."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from quicksilver.archive import SHADOW_SCORES
from quicksilver.cli.app import app as cli
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.local import checkout
from tests.local_stack import eventually

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.local_stack import LocalStack


def shadow_scores(stack: LocalStack, model: str) -> dict[str, dict[str, Any]]:
    rows = map(json.loads, stack.archive.lines(SHADOW_SCORES))
    return {row["prediction_id"]: row for row in rows if row["model"] == model}


def test_the_saved_event_is_read_by_the_deployed_function(stack: LocalStack) -> None:
    event = json.loads((checkout() / "events" / "shadow_card_fraud.json").read_text())
    assert stack.registry.current_route("card-fraud").shadows == ()
    assert stack.invoke(stack.function("shadow"), event) == {
        "records": 3,
        "unreadable": 1,
        "skipped": 0,
        "scored": 0,
        "failed": 0,
    }


def test_a_shadow_that_comes_while_traffic_runs_scores_every_prediction_from_then_on(
    stack: LocalStack,
    request_body: dict[str, Any],
    second_package: Package,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = stack.approve(second_package)
    answers: list[Any] = []
    enough = threading.Event()

    def traffic() -> None:
        while not enough.is_set():
            body = {**request_body, "features": {**request_body["features"], "amount": 10.0 + len(answers)}}
            answers.append(stack.score(body))

    caller = threading.Thread(target=traffic)
    caller.start()
    try:
        eventually(lambda: len(answers) >= 5, "traffic runs")
        route = stack.registry.add_shadow("card-fraud", model, reason="Look first.")
        eventually(lambda: shadow_scores(stack, model), "the shadow scores what is answered", seconds=60)
        marked = len(answers)
        eventually(lambda: len(answers) >= marked + 20, "more traffic")
    finally:
        enough.set()
        caller.join()
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert {answer.content["model"] for answer in answers} == {route.champion.model}
    ids = [answer.content["prediction_id"] for answer in answers[marked:]]

    scores = eventually(
        lambda: (found := shadow_scores(stack, model)).keys() >= {*ids} and found,
        "every prediction since has its score",
    )
    records = eventually(
        lambda: len(found := stack.archived(ids)) >= len(ids) and found, "the predictions are archived"
    )
    evaluator = LightGBMEvaluator(second_package.model_text)
    for record in records:
        score = scores[record["prediction_id"]]
        assert score["raw_score"] == evaluator.raw_score(record["vector"])
        assert (score["answered_by"], score["error"]) == (route.champion.model, None)

    monkeypatch.setattr("quicksilver.cli.shadow.deployed_stage", lambda *_: stack)
    live, again = (
        json.loads(
            CliRunner()
            .invoke(cli, ["shadow", *command, "--endpoint", "card-fraud", "--model", model, "--json"])
            .stdout
        )
        for command in (("report", "--hours", "1"), ("replay", "--days", "1"))
    )
    assert (live["cutoff"], live["errors"], live["coverage"]["without_score"]) == (0.5, {}, 0)
    assert live["coverage"]["scored"] >= len(ids)
    # Other tests' predictions may be by contracts that do not give what this shadow needs: those it tried and failed.
    tried = again["coverage"]["scored"] + again["coverage"]["failed"]
    assert tried == live["coverage"]["scored"] + live["coverage"]["before"]
    assert set(again["errors"]) <= {"features_lacking", "rejected"}

    removed = stack.registry.remove_shadow("card-fraud", model, reason="Seen enough.")
    assert removed.arms == tuple(arm for arm in route.arms if arm.model != model)
