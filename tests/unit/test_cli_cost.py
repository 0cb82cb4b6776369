"""``quicksilver cost`` as a person types it: a table that fits, JSON that adds up, and one sentence for what cannot be."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quicksilver.cli.app import app
from quicksilver.cost.assembly import Resource
from tests.cost_assemblies import assembly, written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "prod", assembly())


def run(*words: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["cost", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_the_table_fits_and_shows_idle_and_the_rate_and_a_million(folder: Path) -> None:
    code, shown, _ = run("--requests-per-second", "100", "--assembly", folder)
    assert code == 0
    lines = shown.splitlines()
    assert [text for text in lines if len(text) > 100] == []
    (gateway,) = [text for text in lines if text.startswith("API Gateway, requests")]
    assert gateway.split()[3:] == ["262,800,000", "request", "0.0000035", "0.00", "919.80", "3.500"]
    assert "list prices of 2026-11-26" in lines[0]
    assert "feature_groups" in shown
    assert "Not verified: kinesis_kept" in shown


def test_json_adds_up_and_says_what_was_assumed(folder: Path) -> None:
    code, shown, _ = run(
        "--assembly", folder, "--assume", "billed_ms=30", "--share", "card-fraud=100", "--json"
    )
    told = json.loads(shown)
    assert code == 0
    assert told["assumptions"]["billed_ms"] == "30"
    assert told["shares"] == {"card-fraud": "100.00", "credit-line": "0.00"}
    added = sum(Decimal(line["dollars"]) for line in told["lines"])
    assert abs(added - Decimal(told["dollars_a_month"])) < Decimal("0.01")
    assert told["prices_of"] == "2026-11-26"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--requests-per-second", "0"], "--requests-per-second: must be above 0"),
        (["--requests-per-second", "-5"], "--requests-per-second: must be above 0"),
        (["--requests-per-second", "NaN"], "--requests-per-second: must be above 0"),
        (["--requests-per-second", "many"], "'many' is no number"),
        (["--requests-per-second", "1e9"], "at most 1000000"),
        (["--region", "eu-moon-1"], "There is no price table of 'eu-moon-1'"),
        (["--assume", "billed_ms"], "'billed_ms' has no ="),
        (["--assume", "bill_ms=3"], "bill_ms: Extra inputs are not permitted"),
        (["--assume", "billed_ms=-3"], "billed_ms: Input should be greater than or equal to 0"),
        (["--assume", "idempotent=2"], "idempotent: Input should be less than or equal to 1"),
        (["--share", "fraud=100"], "fraud is no endpoint of this stage; it has card-fraud, credit-line"),
        (["--share", "card-fraud=60"], "they must add up to 100 percent"),
        (["--share", "card-fraud=150", "--share", "credit-line=-50"], "credit-line has less than nothing"),
        (["--stage", "dev"], "There are no templates of stage dev"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder: Path, words: list[str], said: str) -> None:
    code, shown, errors = run("--assembly", folder, *words)
    assert (code, shown) == (1, "")
    assert said in errors
    assert "Traceback" not in errors


def test_a_folder_that_is_no_assembly_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "quicksilver-prod-data.template.json").write_text('{"Resources": []}')
    assert "is no CloudFormation template" in run("--assembly", tmp_path)[2]
    assert "There are no templates" in run("--assembly", tmp_path / "absent")[2]


# --- what make synth left -----------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one source and a synthesized stage, made after it."""
    (tmp_path / "stacks" / "stages").mkdir(parents=True)
    (tmp_path / "stacks" / "stages" / "prod.toml").write_text("")
    (tmp_path / "app.py").write_text("")
    made = tmp_path / "build" / "synth"
    written(made / "prod", assembly())
    (made / ".ready").write_text("")
    os.utime(made / ".ready", (2_000_000_000, 2_000_000_000))
    monkeypatch.setattr("quicksilver.cli.cost.checkout", lambda: tmp_path)
    return tmp_path


def test_without_an_assembly_it_is_what_make_synth_left(checkout: Path) -> None:
    assert run()[0] == 0


def test_templates_that_are_older_than_their_sources_say_make_synth(checkout: Path) -> None:
    os.utime(checkout / "app.py", (2_000_000_001, 2_000_000_001))
    assert "are older than what they are made of: run make synth" in run()[2]


def test_what_a_build_leaves_beside_the_sources_is_no_source(checkout: Path) -> None:
    for name in ("layers/.build/core/x.py", "stacks/__pycache__/a.pyc", "layers/core/lib.so"):
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        os.utime(path, (2_000_000_001, 2_000_000_001))
    assert run()[0] == 0


def test_templates_that_are_not_there_say_make_synth(checkout: Path) -> None:
    (checkout / "build" / "synth" / ".ready").unlink()
    assert "are not there: run make synth" in run()[2]


def test_a_stage_that_is_none_is_named_with_those_that_are(checkout: Path) -> None:
    assert "There is no stage 'qa'; choose one of prod." in run("--stage", "qa")[2]


# --- what a change does -------------------------------------------------------------------------------------------


def test_a_difference_is_written_for_a_pull_request(folder: Path, tmp_path: Path) -> None:
    head = written(tmp_path / "head" / "prod", assembly(Resource("More", "AWS::KMS::Key")))
    page = tmp_path / "cost.md"
    # Given the stage's own folder, and one of a folder for each stage
    code, shown, _ = run("diff", folder, head.parent, "--markdown", page)
    assert code == 0
    assert "+1.00" in shown
    assert "| KMS keys | 4.00 | 5.00 | +1.00 |" in page.read_text()
    told = json.loads(run("diff", folder, head, "--json")[1])
    assert told["lines"] == [{"what": "KMS keys", "before": "4.00", "after": "5.00"}]


def test_a_difference_without_a_base_or_a_place_to_write_is_one_sentence(
    folder: Path, tmp_path: Path
) -> None:
    assert "There are no templates of stage prod" in run("diff", tmp_path / "base", folder)[2]
    assert "cannot be written" in run("diff", folder, folder, "--markdown", tmp_path / "no" / "cost.md")[2]
