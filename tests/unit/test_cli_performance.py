"""``quicksilver performance`` at the command line, on an archive of a test's own."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from quicksilver.cli.app import app
from quicksilver.cli.archive import Engine
from quicksilver.errors import Unavailable
from quicksilver.labelled import DAY_MS
from quicksilver.memory import ManualClock, MemoryArtifactStore, MemoryRegistryStore
from tests.labelled_traffic import ENDPOINT, START_MS, policy, traffic
from tests.written_archive import WrittenArchive

REPORT = ["performance", "report", "--endpoint", ENDPOINT]


class World:
    def __init__(self) -> None:
        predictions, outcomes = traffic(8)
        self.archive = WrittenArchive(predictions, {ENDPOINT: outcomes[:900]})
        self.engines: list[Engine] = []
        self.invoked: list[str] = []
        self.away = False

    def opened_by(self, engine: Engine, deployed: object, *given: Any, **named: Any) -> Any:
        self.engines.append(engine)
        if self.away:
            raise Unavailable("The archive cannot be listed: SlowDown.")
        return self.archive.open(*given, **named)

    def environment_of(self, function: str) -> dict[str, str]:
        assert function == "quicksilver-local-performance"
        return {
            "QUICKSILVER_DRIFT_POLICIES": json.dumps(
                {ENDPOINT: policy().model_dump(mode="json", exclude_defaults=True)}
            ),
            "QUICKSILVER_CUTOFFS": json.dumps({ENDPOINT: 0.5}),
        }

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, str]:
        self.invoked.append(function)
        return {ENDPOINT: "2 results, 1 judged, 0 degraded", "credit-line": "failed: [nobody] knows"}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    stage = SimpleNamespace(
        stage="local",
        function=lambda service: f"quicksilver-local-{service}",
        environment_of=world.environment_of,
        invoke=world.invoke,
        client=lambda _: None,
        outputs={"RegistryTable": "registry"},
        artifacts=MemoryArtifactStore(),
    )
    monkeypatch.setattr("quicksilver.cli.performance.deployed_stage", lambda *_: stage)
    monkeypatch.setattr(
        "quicksilver.cli.performance.SystemClock", lambda: ManualClock(START_MS + 8 * DAY_MS + DAY_MS // 2)
    )
    monkeypatch.setattr("quicksilver.cli.performance_report.opened_by", world.opened_by)
    monkeypatch.setattr(
        "quicksilver.cli.performance_report.DynamoDBRegistryStore", lambda *_: MemoryRegistryStore()
    )
    return world


def ran(*words: str, fails: bool = False, given: str = "") -> Any:
    result = CliRunner().invoke(app, words, input=given)
    assert result.exit_code == (1 if fails else 0), result.output
    return result


def test_the_report_shows_the_weeks_and_writes_the_page(world: World, tmp_path: Path) -> None:
    page = tmp_path / "performance.html"
    shown = ran(*REPORT, "--html", str(page)).stdout
    assert "judged windows shows degradation" in shown
    for column in ("week of", "ripe", "AUC", "estimated", "KS", "Brier"):
        assert column in shown
    assert "2024-09-30" in shown
    assert "The whole report is in" in shown
    assert page.read_text().startswith("<!doctype html>")
    ours = (line for line in shown.splitlines() if str(page) not in line)  # A path is as long as it is.
    assert max(map(len, ours)) <= 120
    assert world.engines == [Engine.DUCKDB]


def test_the_report_as_json_is_one_document(world: World) -> None:
    content = json.loads(ran(*REPORT, "--json", "--engine", "athena").stdout)
    assert content["endpoint"] == ENDPOINT
    assert content["page"] is None
    assert content["labelled"] == 900
    assert world.engines == [Engine.ATHENA]


def test_a_span_is_as_it_was_asked_for(world: World) -> None:
    words = ("--from", "2024-10-06T00:00:00Z", "--to", "2024-10-07T02:00:00+02:00", "--json")
    content = json.loads(ran(*REPORT, *words).stdout)
    assert (content["from"], content["to"]) == ("2024-10-06T00:00:00.000Z", "2024-10-07T00:00:00.000Z")
    assert len(content["windows"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "yesterday"), "--from: must be an ISO-8601 time"),
        (("--to", "2024-10-06T00:00:00"), "--to: must name its offset"),
        (("--from", "2024-10-06T00:00:00Z", "--to", "2024-10-06T00:00:00Z"), "--from: must be before --to"),
        (("--from", "2100-01-01T00:00:00Z"), "--from: must be before --to"),
        (("--html", "nowhere/at/all.html"), "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(world: World, words: tuple[str, ...], said: str) -> None:
    assert said in ran(*REPORT, *words, fails=True).stderr


def test_an_endpoint_that_is_none_and_an_archive_that_is_away_are_one_sentence(world: World) -> None:
    unknown = ran("performance", "report", "--endpoint", "card-frod", fails=True)
    assert "The stage local has no endpoint card-frod." in unknown.stderr
    world.away = True
    assert "The archive cannot be listed: SlowDown." in ran(*REPORT, fails=True).stderr


def test_outcomes_of_no_prediction_are_said(world: World) -> None:
    lost = world.archive.outcomes[ENDPOINT][0].model_copy(update={"prediction_id": "nobody"})
    world.archive.outcomes[ENDPOINT].append(lost)
    assert "1 are of no prediction since" in ran(*REPORT).stdout


def test_a_run_is_the_functions_own_after_a_plan(world: World) -> None:
    refused = ran("performance", "run", given="n\n", fails=True)
    assert "Judge the performance of every endpoint of stage local now" in refused.output
    assert not world.invoked
    shown = ran("performance", "run", "--yes").stdout
    assert "2 results, 1 judged, 0 degraded" in shown
    assert "failed: [nobody] knows" in shown
    assert world.invoked == ["quicksilver-local-performance"]
