"""``quicksilver experiment`` against a registry in memory and an archive of lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from quicksilver.aws.registry_client import RegistryClient
from quicksilver.cli.app import app
from quicksilver.experiment_plan import Verdict
from quicksilver.registry_api import RegistryApi
from quicksilver.routing import Role
from tests.approvals import GRACE, bring_to_approved
from tests.archives import LinesArchive
from tests.experiments import DAY_MS, population
from tests.unit.test_registry_client import InProcess

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench

NOW_MS = 1_795_000_000_000


@pytest.fixture
def archive() -> LinesArchive:
    return LinesArchive()


@pytest.fixture
def quicksilver(
    bench: Bench, second_package: Package, archive: LinesArchive, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Runs a command against a stage with a champion and an approved second model version."""
    bench.artifacts.put(second_package.sha256, second_package.files)
    bring_to_approved(bench.registry, second_package)
    bench.clock.advance_ms(NOW_MS - 5 * DAY_MS - bench.clock.now_ms())
    client = RegistryClient(InProcess(RegistryApi(bench.registry), GRACE))  # type: ignore[arg-type]
    stage = SimpleNamespace(registry=client, archive=archive)
    monkeypatch.setattr("quicksilver.cli.experiment.deployed_stage", lambda *_: stage)
    monkeypatch.setattr("quicksilver.aws.system.SystemClock.now_ms", lambda _: NOW_MS)

    def run(command: str, *more: str, **options: Any) -> Result:
        return CliRunner().invoke(
            app, ["experiment", *command.split(), "--endpoint", "card-fraud", *more], **options
        )

    return run


def begin(quicksilver: Callable[..., Result], *more: str) -> Any:
    asked = ("--challenger", "card-fraud@2", "--share", "50", "--ripe-after", "1d", *more)
    result = quicksilver("start --yes --json", *asked, "--reason", "Is it better?")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fill(archive: LinesArchive, **quality: float) -> None:
    lines = population(route=2, started_ms=NOW_MS - 5 * DAY_MS, **quality)  # type: ignore[arg-type]
    archive.lines = {"predictions": lines.predictions, "outcomes": lines.outcomes}


def test_a_start_shows_its_plan_and_fixes_the_terms(quicksilver: Callable[..., Result], bench: Bench) -> None:
    options = (
        "--challenger",
        "card-fraud@2",
        "--share",
        "12.5",
        "--holdout",
        "1",
        "--reason",
        "Is it better?",
    )
    refused = quicksilver("start", *options, input="n\n")
    assert refused.exit_code == 1
    assert (
        "card-fraud@2 for 12.5 % of the entities, judged by expected_loss at 0.05 of outcomes after 7d."
        in refused.output.replace("\n", " ")
    )
    assert bench.registry.current_route("card-fraud").experiment is None
    terms = (
        "--primary",
        "auc",
        "--minimum-effect",
        "0.01",
        "--alpha",
        "0.1",
        "--ripe-after",
        "36h",
        "--planned",
        "9000",
    )
    shown = quicksilver("start --yes", *options, *terms, "--missed-bad", "900", "--declined-good", "100")
    assert "challenger" in shown.stdout
    route = bench.registry.current_route("card-fraud")
    assert route.experiment
    assert (route.holdout_bp, route.experiment.share_bp) == (100, 1_250)
    assert route.experiment.terms.model_dump() == {
        "primary": "auc",
        "minimum_effect": 0.01,
        "alpha": 0.1,
        "ripe_after_seconds": 36 * 3_600,
        "planned_entities": 9_000,
        "cutoff": 0.5,
        "costs": {"missed_bad": 900, "declined_good": 100},
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--share", "101"), "--share: must be per cent, 0 to 100"),
        (("--share", "0.001"), "--share: must be per cent, 0 to 100, with two decimals at most"),
        (("--share", "0"), "--share: must leave entities to both arms"),
        (("--share", "100"), "--share: must leave entities to both arms"),
        (("--share", "10", "--holdout", "-1"), "--holdout: must be per cent, 0 to 100"),
        (
            ("--share", "10", "--ripe-after", "7"),
            "--ripe-after: must be a number with s, m, h or d, such as 7d",
        ),
        (("--share", "10", "--missed-bad", "7"), "--declined-good: must be given too"),
        (
            ("--share", "10", "--missed-bad", "0", "--declined-good", "0"),
            "one of the two must cost something",
        ),
        (("--share", "10", "--primary", "approval_rate"), "neither better nor worse"),
        (("--share", "10", "--alpha", "1"), "alpha: Input should be less than or equal to 0.2"),
    ],
)
def test_what_makes_no_experiment_is_refused_by_name(
    quicksilver: Callable[..., Result], bench: Bench, options: tuple[str, ...], words: str
) -> None:
    result = quicksilver("start --yes --challenger card-fraud@2 --reason Why", *options)
    assert result.exit_code == 1
    assert words in result.stderr.replace("\n", " ")
    assert bench.registry.current_route("card-fraud").experiment is None


def test_a_report_is_a_sentence_tables_json_and_a_page(
    quicksilver: Callable[..., Result], archive: LinesArchive, tmp_path: Path
) -> None:
    begin(quicksilver)
    fill(archive, champion_noise=4.0)
    shown = quicksilver("report").stdout
    assert shown.startswith("card-fraud@2 wins: its expected loss is")
    assert max(map(len, shown.splitlines()[1:])) <= 100, "the sentence is as long as it is"
    assert "AUC (secondary)" in shown
    page = tmp_path / "report.html"
    found = json.loads(quicksilver("report --json", "--html", str(page)).stdout)
    assert (found["verdict"], found["champion"], found["needed"]) == ("win", "card-fraud@1", 0)
    assert sum(row["entities"] for row in found["arms"]) == 4_000
    assert "card-fraud@2 beside card-fraud@1" in page.read_text()
    refused = quicksilver("report", "--html", str(page / "report.html"))
    assert (refused.exit_code, "report.html cannot be written" in refused.stderr) == (1, True)


def test_an_earlier_experiment_can_be_reported_after_its_end(
    quicksilver: Callable[..., Result], archive: LinesArchive
) -> None:
    begin(quicksilver)
    fill(archive, champion_noise=4.0)
    quicksilver("stop --yes --reason Enough")
    begin(quicksilver)
    assert json.loads(quicksilver("report --json --number 2").stdout)["verdict"] == "win"
    latest = json.loads(quicksilver("report --json").stdout)
    assert (latest["experiment"]["number"], latest["verdict"]) == (4, "not_yet")


def test_without_an_experiment_each_command_says_so(quicksilver: Callable[..., Result]) -> None:
    assert "card-fraud has had no experiment yet." in quicksilver("report").stderr
    assert "card-fraud has had no experiment 7." in quicksilver("report --number 7").stderr
    for command in ("stop --yes --reason Enough", "promote --yes --reason Enough"):
        assert "No experiment is running on card-fraud." in quicksilver(command).stderr


def test_a_win_is_promoted_with_what_the_report_said(
    quicksilver: Callable[..., Result], archive: LinesArchive, bench: Bench
) -> None:
    begin(quicksilver)
    fill(archive, champion_noise=4.0)
    result = quicksilver("promote --yes", "--reason", "It won.")
    assert result.exit_code == 0, result.output
    assert "card-fraud@2 wins" in result.stderr, "whoever promotes sees it first"
    assert bench.registry.current_route("card-fraud").champion.model == "card-fraud@2"
    entry = bench.registry.history("card-fraud")[-1]
    claimed = entry.details["experiment"]["conclusion"]
    assert (claimed["verdict"], claimed["numbers"]["challenger.entities"] > 1_000) == ("win", True)


def test_what_has_not_won_needs_an_override(
    quicksilver: Callable[..., Result], archive: LinesArchive, bench: Bench
) -> None:
    begin(quicksilver)
    fill(archive, challenger_noise=4.0)
    refused = quicksilver("promote --yes", "--reason", "All the same.")
    assert refused.exit_code == 1
    assert "is concluded as loss; only a win is promoted" in refused.stderr
    assert bench.registry.current_route("card-fraud").experiment
    assert quicksilver("promote --yes --override", "--reason", "The regulator wants it.").exit_code == 0
    details = bench.registry.history("card-fraud")[-1].details["experiment"]
    assert (details["override"], details["conclusion"]["verdict"]) == (True, Verdict.LOSS)


def test_a_stop_does_not_need_the_archive(
    quicksilver: Callable[..., Result], archive: LinesArchive, bench: Bench
) -> None:
    begin(quicksilver)
    archive.available = False
    away = quicksilver("stop --yes --reason Enough")
    assert (away.exit_code, "The archive cannot be read" in away.stderr) == (1, True)
    assert "add --unseen" in away.stderr
    assert quicksilver("stop --yes --unseen --reason Enough").exit_code == 0
    route = bench.registry.current_route("card-fraud")
    assert [(arm.model, arm.role) for arm in route.arms] == [("card-fraud@1", Role.CHAMPION)]
    assert bench.registry.history("card-fraud")[-1].details["experiment"]["conclusion"] is None
