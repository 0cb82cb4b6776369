"""``quicksilver rollup check``: says whether the rollup is what the archive holds, and where it is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from typer.testing import CliRunner

from quicksilver.cli import rollup
from quicksilver.cli.app import app
from quicksilver.memory import ManualClock, MemoryMetrics, MemoryRollupStore
from quicksilver.rollup.fold import Fold
from quicksilver.stream_event import StreamRecord
from tests.archives import LinesArchive
from tests.prediction_records import entry

NOW_MS = 1_795_600_000_000
LINES = [entry(number, time_ms=NOW_MS - 600_000 - 1_000 * number).data for number in range(5)]


class FakeStage:
    """A stage with so many records counted, and others archived."""

    stage = "local"

    def function(self, service: str) -> str:
        return service

    def __init__(self, counted: Sequence[bytes], archived: Sequence[bytes]) -> None:
        self.rollup = MemoryRollupStore()
        self.archive = LinesArchive(predictions=archived)
        Fold(
            store=self.rollup,
            clock=ManualClock(NOW_MS),
            metrics=MemoryMetrics(),
            pause=lambda _: None,
            cutoffs={"card-fraud": 0.5},
            period_seconds=60,
            keep_days=35,
        ).fold([StreamRecord(str(number), line) for number, line in enumerate(counted)])

    def environment_of(self, function: str) -> dict[str, str]:
        assert function == "rollup"
        return {
            "QUICKSILVER_CUTOFFS": '{"card-fraud":0.5}',
            "QUICKSILVER_ROLLUP_PERIOD_SECONDS": "60",
        }


def check(
    monkeypatch: pytest.MonkeyPatch,
    counted: Sequence[bytes],
    archived: Sequence[bytes],
    *options: str,
    endpoint: str = "card-fraud",
) -> Any:
    monkeypatch.setattr(rollup, "deployed_stage", lambda _: FakeStage(counted, archived))
    monkeypatch.setattr(rollup, "SystemClock", lambda: ManualClock(NOW_MS))
    return CliRunner().invoke(app, ["rollup", "check", "--endpoint", endpoint, *options])


def test_equal_counts_are_shown_and_exit_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    done = check(monkeypatch, LINES, [*LINES, LINES[0]], "--json")
    assert done.exit_code == 0
    content = json.loads(done.stdout)
    assert (content["requests in the rollup"], content["requests in the archive"]) == (5, 5)
    assert content["differences"] == []


def test_a_difference_is_named_and_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    done = check(monkeypatch, LINES[:4], LINES)
    assert done.exit_code == 1
    assert "card-fraud@1 champion: the rollup has" in done.stdout.replace("\n", " ")
    assert "The rollup of card-fraud is not what the archive holds." in done.stderr


def test_what_is_still_on_its_way_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    on_its_way = entry(99, time_ms=NOW_MS).data
    assert check(monkeypatch, [*LINES, on_its_way], LINES).exit_code == 0
    too_old = entry(98, time_ms=NOW_MS - 20 * 60_000).data
    assert check(monkeypatch, [*LINES, too_old], LINES, "--minutes", "15").exit_code == 0
    assert check(monkeypatch, [*LINES, too_old], LINES, "--minutes", "60").exit_code == 1


def test_an_endpoint_that_is_not_there_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    done = check(monkeypatch, [], [], endpoint="credit-line")
    assert (done.exit_code, done.stderr) == (1, "error The stage local has no endpoint credit-line.\n")
