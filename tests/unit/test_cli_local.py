"""``quicksilver local`` and the way every command speaks."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from quicksilver.cli import local
from quicksilver.cli.output import emit, explains_errors
from quicksilver.errors import FieldError, InvalidInput, Unavailable

runner = CliRunner()


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the commands away from an emulator the person may be using."""
    monkeypatch.setattr("quicksilver.local.emulator.default_run_folder", lambda: tmp_path / "run")
    return tmp_path / "run"


def refusing(error: Exception) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @explains_errors
    def refuse() -> None:
        raise error

    return app


def test_status_says_down_as_json_when_nothing_runs() -> None:
    result = runner.invoke(local.app, ["status", "--json"])
    assert result.exit_code == 0
    status = json.loads(result.stdout)
    assert status["running"] is False
    assert status["url"] == "http://127.0.0.1:4566"
    assert status["outputs"] == {}


def test_status_says_down_to_a_person_when_nothing_runs() -> None:
    result = runner.invoke(local.app, ["status"])
    assert result.exit_code == 0
    assert "down" in result.stdout


def test_down_is_no_error_when_nothing_runs() -> None:
    result = runner.invoke(local.app, ["down", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"was_running": False}


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = runner.invoke(local.app, [command, "--help"])
    assert result.exit_code == 0
    assert f"quicksilver local {command}" in result.stdout


def test_an_expected_error_is_a_sentence_with_its_hint_and_no_traceback() -> None:
    error = Unavailable("Port 4566 cannot be used.")
    error.add_note("Take another: --port 4600")
    result = runner.invoke(refusing(error))
    assert result.exit_code == 1
    assert "Port 4566 cannot be used." in result.stderr
    assert "Take another: --port 4600" in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_refused_input_names_each_field() -> None:
    result = runner.invoke(
        refusing(InvalidInput("Refused.", [FieldError("features.amount", "must be finite")]))
    )
    assert "features.amount: must be finite" in result.stderr


def test_an_unexpected_error_is_not_swallowed() -> None:
    result = runner.invoke(refusing(ZeroDivisionError("bug")))
    assert isinstance(result.exception, ZeroDivisionError)


def test_json_output_refuses_what_is_not_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit({"score": float("nan")}, as_json=True, render=lambda: "")
