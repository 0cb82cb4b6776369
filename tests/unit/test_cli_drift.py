"""``quicksilver drift run`` and ``backtest`` against stores in memory: what a person types, sees and is told."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from quicksilver.cli import app as cli, drift_run
from quicksilver.drift.windows import DAY_MS
from quicksilver.instants import utc_iso
from quicksilver.memory import (
    ManualClock,
    MemoryArtifactStore,
    MemoryMonitoringStore,
    MemoryRollupStore,
)
from quicksilver.monitoring import Kind
from tests.archives import LinesArchive
from tests.drift_archive import Reference, contract, put_model
from tests.prediction_records import prediction_record

START_MS = 20_000 * DAY_MS
POLICIES = {"card-fraud": {"endpoint": "card-fraud", "version": 1, "catch_up_days": 3}}


class Nobody:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def consider(self, endpoint: str) -> None:
        self.asked.append(endpoint)

    def catch_up(self, endpoint: str) -> int:
        self.asked.append(endpoint)
        return 0


@dataclass
class Deployed:
    """A stage with two days of traffic, the second of which has drifted."""

    stage: str = "local"
    monitoring: MemoryMonitoringStore = field(default_factory=MemoryMonitoringStore)
    artifacts: MemoryArtifactStore = field(default_factory=MemoryArtifactStore)
    rollup: MemoryRollupStore = field(default_factory=MemoryRollupStore)

    def __post_init__(self) -> None:
        reference, by = Reference.drawn(), contract()
        sha256 = put_model(self.artifacts, by, reference.profile(by))
        lines = []
        for day, factor in enumerate((1.0, 3.0)):
            for place, vector in enumerate(reference.vectors[:300]):
                amount, channel, border, count = vector.tolist()
                made = prediction_record(
                    1_000 * day + place,
                    time_ms=START_MS + day * DAY_MS + place * 1_000,
                    package_sha256=sha256,
                    fingerprint=by.fingerprint,
                    vector=(amount * factor, channel, border, None if math.isnan(count) else count),
                    score=float(reference.scores[place]),
                )
                lines.append(made.model_dump_json())
        self.archive = LinesArchive(predictions=lines)

    def function(self, service: str) -> str:
        return service

    def environment_of(self, function: str) -> dict[str, str]:
        assert function == "drift"
        return {"QUICKSILVER_DRIFT_POLICIES": json.dumps(POLICIES)}

    def policy(self, endpoint: str) -> Any:
        assert endpoint == "card-fraud"
        return SimpleNamespace(cutoff=0.5)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Deployed:
    deployed = Deployed()
    monkeypatch.setattr("quicksilver.cli.drift.deployed_stage", lambda *_: deployed)
    monkeypatch.setattr(drift_run, "SystemClock", lambda: ManualClock(START_MS + 2 * DAY_MS + 3_600_000))
    nobody = Nobody()
    monkeypatch.setattr(drift_run, "followers", lambda _: (nobody, nobody))
    return deployed


def drift(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["drift", *arguments])


def documents(deployed: Deployed, kind: Kind = Kind.DRIFT) -> Sequence[str]:
    return list(deployed.monitoring.names(kind, "card-fraud"))


def test_a_run_judges_what_is_due_and_keeps_it(deployed: Deployed) -> None:
    done = drift("run", "--endpoint", "card-fraud", "--yes")
    assert done.exit_code == 0, done.output
    assert "3 windows judged" in done.output
    assert len(documents(deployed)) == 3
    assert documents(deployed, Kind.REPORT) == documents(deployed)[-1:], "the window with an alarm has a page"
    again = drift("run", "--endpoint", "card-fraud", "--yes", "--json")
    assert '"0 windows judged"' in again.output


def test_without_a_yes_nothing_is_judged(deployed: Deployed) -> None:
    done = CliRunner().invoke(cli.app, ["drift", "run", "--endpoint", "card-fraud"], input="n\n")
    assert done.exit_code == 1
    assert documents(deployed) == []


def test_one_window_is_shown_and_not_kept(deployed: Deployed) -> None:
    done = drift("run", "--endpoint", "card-fraud", "--window", "24h")
    assert done.exit_code == 0, done.output
    assert f"{utc_iso(START_MS + DAY_MS)[:10]} 00:00 24 h" in done.output
    assert "amount" in done.output
    assert documents(deployed) == []


def test_one_window_is_kept_where_that_is_asked_for(deployed: Deployed) -> None:
    for _ in range(2):
        done = drift("run", "--endpoint", "card-fraud", "--window", "1d", "--keep", "--yes", "--json")
        assert done.exit_code == 0, done.output
    (name,) = documents(deployed)
    document = deployed.monitoring.get(Kind.DRIFT, "card-fraud", name)
    assert json.loads(document or b"")["revision"] == 2


def test_a_backtest_says_what_would_have_alarmed_and_changes_nothing(deployed: Deployed) -> None:
    moments = ("--from", utc_iso(START_MS), "--to", utc_iso(START_MS + 2 * DAY_MS))
    done = drift("backtest", "--endpoint", "card-fraud", *moments)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if "24 h" in line]
    assert len(lines) == 2
    assert "amount" not in lines[0]
    assert "amount" in lines[1]
    assert all(len(line) <= 100 for line in done.output.splitlines())
    assert documents(deployed) == []


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--window", "1 day"], "--window: must be 1h to 168h, or 1d to 7d"),
        (["run", "--window", "8d"], "--window: must be 1h to 168h, or 1d to 7d"),
        (
            ["backtest", "--from", utc_iso(START_MS), "--to", utc_iso(START_MS + 3 * DAY_MS)],
            "A window is judged when it is over.",
        ),
        (
            ["backtest", "--from", utc_iso(START_MS), "--to", utc_iso(START_MS + 3_600_000)],
            "must hold 1 to 400 whole windows of 24 h, not 0",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_sentence(arguments: list[str], said: str) -> None:
    done = drift(*arguments, "--endpoint", "card-fraud")
    assert done.exit_code == 1
    assert said in done.output.replace("\n", " ")
    assert "Traceback" not in done.output


@pytest.mark.usefixtures("deployed")
def test_an_endpoint_that_is_not_there_is_said() -> None:
    done = drift("run", "--endpoint", "no-such", "--window", "24h")
    assert done.exit_code == 1
    assert "The stage local has no endpoint no-such." in done.output
