"""The command line without a stage: help, bad input, and that an error is one sentence and never a traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from quicksilver.aws.api import ApiAnswer
from quicksilver.cli import app as cli
from quicksilver.package_files import write_package

if TYPE_CHECKING:
    from quicksilver.package import Package

runner = CliRunner()


def run(*arguments: str) -> Any:
    return runner.invoke(cli.app, arguments)


class FakeApi:
    def __init__(self, answer: ApiAnswer) -> None:
        self.answer, self.asked = answer, []

    def score(self, endpoint: str, request: dict[str, Any], **asked: Any) -> ApiAnswer:
        self.asked.append((endpoint, request))
        self.how = asked
        return self.answer


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    from types import SimpleNamespace

    fake = FakeApi(ApiAnswer(422, {}, {}))
    monkeypatch.setattr("quicksilver.cli.score.deployed_stage", lambda _: SimpleNamespace(api=fake))
    return fake


SCORE = ("score", "--endpoint", "card-fraud", "--entity", "card_1")


def test_reasons_and_deadline_are_asked_for(api: FakeApi) -> None:
    run(*SCORE)
    assert api.how == {"reasons": "top", "deadline_ms": None, "idempotency_key": None}
    run(*SCORE, "--reasons", "none", "--deadline-ms", "50")
    assert api.how == {"reasons": "none", "deadline_ms": 50, "idempotency_key": None}
    assert run(*SCORE, "--reasons", "some").exit_code == 2


def test_an_answer_by_another_rung_says_who_did_not_answer(api: FakeApi) -> None:
    api.answer = ApiAnswer(
        200,
        {},
        {
            "score": 0.5,
            "raw_score": None,
            "status": "fallback",
            "model": "card-fraud@2",
            "arm": {"model": "card-fraud@2", "role": "champion", "share_bp": 10_000, "holdout": False},
            "route": 2,
            "prediction_id": "p",
            "timings": {"total_us": 1_000},
            "degraded": [{"model": "card-fraud@2", "cause": "not_evaluated", "policy": "fallback_score"}],
            "reasons": [],
        },
    )
    output = run(*SCORE).output
    assert "card-fraud@2 is not evaluated, answered by fallback score" in output


def test_an_idempotency_key_goes_with_the_request_and_no_other_way(api: FakeApi) -> None:
    run(*SCORE, "--idempotency-key", "k-1")
    assert api.how["idempotency_key"] == "k-1"
    run(*SCORE)
    assert api.how["idempotency_key"] is None


def test_values_are_json_where_they_can_be_and_text_otherwise(api: FakeApi) -> None:
    run(
        *SCORE,
        "--set",
        "amount=812.50",
        "--set",
        "channel=pos",
        "--set",
        "present=true",
        "--set",
        "x=a=b",
        "--key",
        "m=1",
    )
    ((endpoint, request),) = api.asked
    assert endpoint == "card-fraud"
    assert request["features"] == {"amount": 812.5, "channel": "pos", "present": True, "x": "a=b"}
    assert request["keys"] == {"m": "1"}


def test_a_refusal_names_its_fields_and_exits_with_1(api: FakeApi) -> None:
    problem = {"detail": "No.", "errors": [{"field": "features.amount", "reason": "is absent"}]}
    api.answer = ApiAnswer(422, {}, problem)
    result = run(*SCORE)
    assert result.exit_code == 1
    assert "features.amount: is absent" in result.stderr
    assert json.loads(run(*SCORE, "--json").stdout) == problem


def test_an_answer_that_is_no_json_is_shown_as_it_is(api: FakeApi) -> None:
    api.answer = ApiAnswer(502, {}, "bad gateway")
    result = run(*SCORE)
    assert (result.exit_code, "bad gateway" in result.stderr) == (1, True)


@pytest.mark.parametrize("pair", ["amount", "=3", ""])
def test_a_pair_without_a_name_or_a_sign_is_refused(api: FakeApi, pair: str) -> None:
    result = run(*SCORE, "--set", pair)
    assert result.exit_code == 1
    assert "--set takes NAME=VALUE." in result.stderr
    assert api.asked == []


@pytest.mark.parametrize(
    ("text", "sentence"), [(None, "cannot be read"), ("{", "is not JSON"), ("[]", "is not a JSON object")]
)
def test_an_event_file_that_is_no_event_is_refused(tmp_path: Path, text: str | None, sentence: str) -> None:
    file = tmp_path / "event.json"
    if text is not None:
        file.write_text(text)
    result = run("invoke", "score", "--event", str(file))
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_a_sound_package_is_called_sound(package: Package, tmp_path: Path) -> None:
    write_package(package, tmp_path / "package")
    result = run("model", "check", str(tmp_path / "package"), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["package_sha256"] == package.sha256


def test_an_altered_package_is_refused_in_one_sentence(package: Package, tmp_path: Path) -> None:
    write_package(package, tmp_path / "package")
    with (tmp_path / "package" / "model.txt").open("ab") as model:
        model.write(b" ")
    result = run("model", "check", str(tmp_path / "package"))
    assert result.exit_code == 1
    assert "The package is altered: model.txt" in result.stdout
    assert "Traceback" not in result.output


def test_a_champion_of_another_endpoint_is_refused_before_anything_is_asked() -> None:
    result = run("route", "set", "--endpoint", "card-fraud", "--champion", "credit-line@1", "--reason", "x")
    assert result.exit_code == 1
    assert "--champion: must begin with card-fraud@" in result.stderr


@pytest.mark.parametrize("name", ["Card_Fraud", "card fraud", "card-fraud@1", "../models", "c"])
def test_what_is_no_name_of_an_endpoint_is_said_before_anything_is_asked(name: str) -> None:
    result = run("route", "show", "--endpoint", name)
    assert result.exit_code == 2
    assert "is no name of an endpoint" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("profile", "said"),
    [(None, "You must specify a region"), ("nobody", "The config profile (nobody) could not be found")],
)
def test_a_stage_on_aws_without_region_or_profile_is_one_sentence(
    profile: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    result = run("route", "show", "--endpoint", "card-fraud", "--stage", "dev")
    assert result.exit_code == 1
    assert result.stderr.startswith("error The stage dev cannot be reached: ")
    assert said in result.stderr
    assert "Set AWS_DEFAULT_REGION" in result.stderr
