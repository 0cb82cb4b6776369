"""``quicksilver model gate``: files, table, exit code, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from quicksilver.cli import model_gate
from quicksilver.errors import NotFound
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import GateReport
from quicksilver.memory import MemoryArtifactStore
from quicksilver.package_files import write_handover, write_package
from quicksilver.packing import evaluation_rows
from tests.gates import band, policy

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.conftest import Trained

app = typer.Typer()
app.command(name="gate")(model_gate.gate)
app.command(name="other")(lambda: None)


@pytest.fixture
def folder(tmp_path: Path, trained: Trained, package: Package) -> Path:
    """A package with its evaluation rows beside it, and a policy that it keeps."""
    rows = evaluation_rows(
        trained.contract,
        reference=trained.vectors,
        target=trained.target,
        protected={"band": band(len(trained.vectors))},
    )
    write_handover(package, rows, tmp_path / "card-fraud")
    (tmp_path / "policy.toml").write_text(toml(policy()))
    return tmp_path


def toml(by: Policy) -> str:
    content = by.model_dump(mode="json")
    sections = {name: value for name, value in content.items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in content.items() if name not in sections]
    for name, section in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(lines)


def gate(folder: Path, *arguments: str) -> Any:
    usual = [
        "gate",
        str(folder / "card-fraud"),
        "--endpoint",
        "card-fraud",
        "--policy",
        str(folder / "policy.toml"),
    ]
    return CliRunner().invoke(app, [*usual, *arguments])


def test_a_package_that_passes_exits_with_0_and_leaves_its_report(folder: Path) -> None:
    junit, markdown = folder / "ci" / "gate.xml", folder / "ci" / "gate.md"
    result = gate(folder, "--champion", "none", "--junit", str(junit), "--markdown", str(markdown))
    assert result.exit_code == 0, result.output
    report = GateReport.model_validate_json((folder / "card-fraud.gate.json").read_bytes())
    assert ElementTree.parse(junit).getroot().get("failures") == "0"  # noqa: S314 - our own output
    assert markdown.read_text().startswith("# Gates of card-fraud: ")
    assert report.package_sha256[:12] in result.stdout
    assert "without a champion" in result.stdout
    assert result.stderr.splitlines() == [
        "score the rows",
        "resample the metrics",
        "compare groups",
        "check consistency",
        "measure latency",
    ]


def test_a_package_that_fails_exits_with_1_and_says_why(folder: Path) -> None:
    (folder / "policy.toml").write_text(toml(policy(performance={"min_auc": 0.9999})))
    out = folder / "elsewhere.json"
    result = gate(folder, "--champion", "none", "--out", str(out), "--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert (content["outcome"], content["report_sha256"]) == (
        "fail",
        GateReport.model_validate_json(out.read_bytes()).sha256,
    )
    assert not (folder / "card-fraud.gate.json").exists()


def test_a_package_on_disk_may_be_the_champion(folder: Path, second_package: Package) -> None:
    write_package(second_package, folder / "champion")
    result = gate(folder, "--champion", str(folder / "champion"), "--json")
    content = json.loads(result.stdout)
    assert content["champion_sha256"] == second_package.sha256
    assert "champion" not in content


class Deployed:
    """A stage whose route names one champion, or that has no route."""

    def __init__(self, package: Package | None) -> None:
        self.artifacts = MemoryArtifactStore()
        self._package = package
        if package:
            self.artifacts.put(package.sha256, package.files)

    @property
    def registry(self) -> Any:
        return self

    def current_route(self, endpoint: str) -> Any:
        if self._package is None:
            raise NotFound(f"The endpoint {endpoint} has no route yet.")
        return SimpleNamespace(
            champion=SimpleNamespace(model=f"{endpoint}@7", package_sha256=self._package.sha256)
        )


def test_without_a_word_the_champion_is_what_the_stage_serves(
    folder: Path, second_package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    monkeypatch.setattr(
        model_gate, "deployed_stage", lambda stage: stages.append(stage) or Deployed(second_package)
    )
    content = json.loads(gate(folder, "--stage", "dev", "--json").stdout)
    assert stages == ["dev"]
    assert (content["champion"], content["champion_sha256"]) == ("card-fraud@7", second_package.sha256)


def test_an_endpoint_without_a_champion_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_gate, "deployed_stage", lambda _stage: Deployed(None))
    result = gate(folder)
    assert result.exit_code == 1
    assert "has no route yet" in result.stderr
    assert "--champion none" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--data", "absent.parquet"), "There is no evaluation data at absent.parquet."),
        (("--policy", "absent.toml"), "There is no gate policy at absent.toml."),
        (("--endpoint", "credit-line"), "The package is not for credit-line."),
        (("--champion", "absent"), "There is no package at absent."),
    ],
)
def test_what_is_not_there_is_named_in_one_sentence(
    folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    result = gate(folder, *(("--champion", "none") if "--champion" not in arguments else ()), *arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not (folder / "card-fraud.gate.json").exists()


def test_a_policy_that_is_none_is_named_in_one_sentence(folder: Path) -> None:
    (folder / "policy.toml").write_text("cutoff = 3\n")
    result = gate(folder, "--champion", "none")
    assert result.exit_code == 1
    assert "The policy is not valid." in result.stderr
    assert "cutoff: " in result.stderr


def test_the_report_fits_a_terminal_of_100_columns(folder: Path, second_package: Package) -> None:
    write_package(second_package, folder / "champion")
    gate(folder, "--champion", str(folder / "champion"))
    report = GateReport.model_validate_json((folder / "card-fraud.gate.json").read_bytes())
    console = Console(width=100, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as shown:
        console.print(model_gate.shown(report))
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= 100
    assert any("auc_non_inferior" in line for line in lines)
    assert any("band: unknown" in line for line in lines)
