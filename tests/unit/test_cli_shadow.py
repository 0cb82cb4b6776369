"""``quicksilver shadow`` on a stage in memory: a plan before each change, and one report for live and archived scores."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from quicksilver.cli import app as cli
from quicksilver.package_files import write_package
from quicksilver.query import Span
from quicksilver.registry import Registry
from quicksilver.shadow_registry import add_shadow, remove_shadow
from tests.approvals import ADA, policy
from tests.archives import LinesArchive
from tests.shadows import demanding_package

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.routing import Route
    from tests.unit.conftest import Bench

runner = CliRunner()


class RegistryAsAda:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def add_shadow(self, endpoint: str, model: str, *, reason: str) -> Route:
        return add_shadow(self._registry, endpoint, model, reason=reason, who=ADA)

    def remove_shadow(self, endpoint: str, model: str, *, reason: str) -> Route:
        return remove_shadow(self._registry, endpoint, model, reason=reason, who=ADA)


class Clock:
    now = 0

    def now_ms(self) -> int:
        return Clock.now

    def monotonic_us(self) -> int:
        return 0


@pytest.fixture
def archive(bench: Bench, trained: Any, package: Package, monkeypatch: pytest.MonkeyPatch) -> LinesArchive:
    """A stage in memory whose archive has 200 predictions of the last hour."""
    from quicksilver.evaluator import LightGBMEvaluator
    from quicksilver.instants import utc_iso
    from tests.unit.test_shadow_report import prediction

    predictions: list[Any] = []
    archive = LinesArchive(predictions=predictions)
    Clock.now = bench.clock.now_ms()
    evaluator = LightGBMEvaluator(package.model_text)
    for i, vector in enumerate(trained.vectors[:200].tolist()):
        raw = evaluator.raw_score(vector)
        row = prediction(
            i, [None if x != x else x for x in vector], evaluator.score(raw), raw_score=raw,
            package_sha256=package.sha256, fingerprint=package.contract.fingerprint,
            time=utc_iso(Clock.now - 3_600_000 + i * 1_000),
        )  # fmt: skip
        predictions.append(row)
    stage = SimpleNamespace(
        registry=RegistryAsAda(bench.registry),
        archive=archive,
        artifacts=bench.artifacts,
        policy=lambda endpoint: policy(endpoint),
    )
    monkeypatch.setattr("quicksilver.cli.shadow.deployed_stage", lambda *_: stage)
    monkeypatch.setattr("quicksilver.cli.shadow.SystemClock", Clock)
    return archive


@pytest.fixture
def second(bench: Bench, second_package: Package) -> str:
    from tests.approvals import bring_to_approved

    bench.artifacts.put(second_package.sha256, second_package.files)
    return bring_to_approved(bench.registry, second_package)


def run(command: str, *arguments: str) -> Any:
    return runner.invoke(cli.app, ["shadow", command, "--endpoint", "card-fraud", *arguments])


@pytest.mark.usefixtures("archive")
def test_a_shadow_is_added_and_removed_after_its_plan(bench: Bench, second: str) -> None:
    refused = runner.invoke(
        cli.app,
        ["shadow", "add", "--endpoint", "card-fraud", "--model", second, "--reason", "Look."],
        input="n\n",
    )
    assert refused.exit_code == 1
    assert f"Add {second} to card-fraud in stage local as a shadow" in refused.output
    assert bench.registry.current_route("card-fraud").shadows == ()
    added = run("add", "--model", second, "--reason", "Look.", "--yes", "--json")
    assert json.loads(added.stdout)["arms"][-1]["role"] == "shadow"
    assert "shadow" in run("remove", "--model", second, "--reason", "Enough.", "--yes").output.lower()
    assert bench.registry.current_route("card-fraud").shadows == ()


@pytest.mark.usefixtures("archive")
def test_one_that_cannot_be_scored_is_refused_naming_the_features(bench: Bench) -> None:
    from tests.approvals import bring_to_approved

    package = demanding_package()
    bench.artifacts.put(package.sha256, package.files)
    name = bring_to_approved(bench.registry, package)
    result = run("add", "--model", name, "--reason", "Look.", "--yes")
    assert result.exit_code == 1
    assert "cannot be a shadow" in result.output
    assert "merchant_age_days: is not in the answering contract" in result.output


def test_a_replay_of_a_registered_model_reports_and_says_how_fast_it_was(
    archive: LinesArchive, second: str, tmp_path: Path
) -> None:
    page = tmp_path / "shadow.html"
    result = run("replay", "--model", second, "--days", "2", "--html", str(page), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["shadow"], report["coverage"]["scored"], report["replay"]["rows"]) == (second, 200, 200)
    assert report["cutoff"] == 0.5
    assert "rows/s" in result.stderr
    assert f"<title>Shadow {second}</title>" in page.read_text()
    assert archive.spans == [Span(Clock.now - 2 * 86_400_000, Clock.now)]


@pytest.mark.usefixtures("archive")
def test_a_replay_of_a_package_that_nobody_registered(second_package: Package, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    write_package(second_package, folder)
    report = json.loads(run("replay", "--package", str(folder), "--json", "--cutoff", "0.3").stdout)
    assert report["shadow"] == f"package {second_package.sha256[:12]}"
    assert (report["package_sha256"], report["cutoff"]) == (second_package.sha256, 0.3)


def test_the_live_report_is_the_replays(
    archive: LinesArchive, bench: Bench, second: str, second_package: Package
) -> None:
    from quicksilver.evaluator import LightGBMEvaluator
    from quicksilver.shadow_score import ShadowScore

    evaluator = LightGBMEvaluator(second_package.model_text)
    scores: list[Any] = []
    archive.lines["shadow_scores"] = scores
    for row in archive.lines["predictions"]:
        raw = evaluator.raw_score([float("nan") if x is None else x for x in row["vector"]])
        score = ShadowScore(
            prediction_id=row["prediction_id"], endpoint="card-fraud", entity_id=row["entity_id"],
            time=row["time"], model=second, package_sha256=second_package.sha256, answered_by=row["model"],
            raw_score=raw, score=evaluator.score(raw), score_us=80, error=None,
        )  # fmt: skip
        scores.append(json.loads(score.model_dump_json()))
    live = json.loads(run("report", "--model", second, "--json").stdout)
    again = json.loads(run("replay", "--model", second, "--days", "1", "--json").stdout)
    different = {"latency", "replay"}
    assert {k: v for k, v in live.items() if k not in different} == {
        k: v for k, v in again.items() if k not in different
    }
    assert live["latency"] == {"median_us": 80, "p99_us": 80}
    shown = run("report", "--model", second).output
    sentence, *table = shown.splitlines()
    assert sentence.startswith(f"{second} would have decided")
    assert max(map(len, table)) <= 100
    assert "PSI, KS" in shown


@pytest.mark.usefixtures("archive", "second")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("replay",), "Name one model to replay"),
        (("replay", "--model", "card-fraud@2", "--package", "x"), "Name one model to replay"),
        (("replay", "--package", "/nowhere"), "/nowhere"),
        (("report", "--model", "credit-line@1"), "is not a model version of card-fraud"),
        (("report", "--model", "card-fraud@9"), "There is no model version card-fraud@9"),
        (("report", "--model", "card-fraud@2"), "has scored none of the 200 predictions"),
        (("replay", "--model", "card-fraud@2", "--html", "/nowhere/x.html"), "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output
