"""``quicksilver drift report`` against documents in memory: what a person types, sees and is told to do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from quicksilver.cli import app as cli
from quicksilver.drift.result import WindowResult
from quicksilver.memory import MemoryArtifactStore, MemoryMonitoringStore
from quicksilver.monitoring import Kind
from tests.drifts import DAY_MS, ENDPOINT, FIRST_MS, window

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Deployed:
    monitoring: MemoryMonitoringStore = field(default_factory=MemoryMonitoringStore)
    artifacts: MemoryArtifactStore = field(default_factory=MemoryArtifactStore)

    def policy(self, endpoint: str) -> Any:
        assert endpoint == ENDPOINT
        return SimpleNamespace(cutoff=0.5)

    def keep(self, *results: WindowResult) -> None:
        for result in results:
            name = result.counts.window.name
            self.monitoring.put(Kind.DRIFT, ENDPOINT, name, result.model_dump_json().encode())


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Deployed:
    deployed = Deployed()
    deployed.keep(*(window(day) for day in range(3)), window(3, ["region"], notes=("Half [of] it.",)))
    monkeypatch.setattr("quicksilver.cli.drift.deployed_stage", lambda *_: deployed)
    return deployed


def report(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["drift", "report", "--endpoint", ENDPOINT, *arguments])


@pytest.mark.usefixtures("deployed")
def test_a_person_reads_the_sentence_the_windows_and_the_features() -> None:
    result = report()
    assert result.exit_code == 0, result.output
    assert "card-fraud has drifted: 1 window in a row with an alarm, since 2026-09-07" in result.output
    assert "2026-09-04" in result.output
    assert "Half [of] it. (2026-09-07)" in result.output
    assert max(map(len, result.output.splitlines())) <= 180


@pytest.mark.usefixtures("deployed")
def test_json_has_all_of_it_and_the_page_is_written_too(tmp_path: Path) -> None:
    page = tmp_path / "drift.html"
    result = report("--json", "--html", str(page))
    found = json.loads(result.stdout)
    assert (found["standing"], len(found["windows"])) == ("drifted", 4)
    assert found["features"][0]["feature"] == "region"
    assert found["sentence"] in page.read_text()


@pytest.mark.usefixtures("deployed")
def test_a_span_has_the_windows_that_lie_in_it() -> None:
    def windows(*arguments: str) -> list[int]:
        found = json.loads(report("--json", *arguments).stdout)
        return [(line["start_ms"] - FIRST_MS) // DAY_MS for line in found["windows"]]

    assert windows("--from", "2026-09-05T00:00:00Z") == [1, 2, 3]
    assert windows("--to", "2026-09-06T00:00:00+00:00") == [0, 1]
    assert windows("--from", "2026-09-05T02:00:00+02:00", "--to", "2026-09-06T12:00:00Z") == [1]


@pytest.mark.usefixtures("deployed")
def test_a_span_without_windows_and_an_endpoint_that_nobody_has_judged_say_what_to_do() -> None:
    result = report("--from", "2027-01-01T00:00:00Z")
    assert result.exit_code == 1
    assert "No window of card-fraud has been judged in that span." in result.output
    assert "quicksilver drift run --endpoint card-fraud" in result.output


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("moment", ["yesterday", "2026-09-05T00:00:00"])
def test_a_moment_that_is_none_is_refused(moment: str) -> None:
    result = report("--from", moment)
    assert result.exit_code == 2
    assert "must" in result.output


def test_a_document_that_is_no_result_ends_in_one_sentence(deployed: Deployed) -> None:
    deployed.monitoring.put(Kind.DRIFT, ENDPOINT, window(9).counts.window.name, b"{}")
    result = report()
    assert result.exit_code == 1
    assert "is no WindowResult" in result.output


def test_packages_that_are_gone_leave_out_the_histograms_alone(deployed: Deployed) -> None:
    assert deployed.artifacts.files == {}
    found = json.loads(report("--json").stdout)
    assert [drift["bars"] for drift in found["features"]] == [None] * 4
