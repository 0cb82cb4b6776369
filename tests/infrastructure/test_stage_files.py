"""A stage file says what a stage may be, in exactly its types; anything else is one sentence naming the file and the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.config import STAGES, ConfigError, SageMakerTraining, load_stage
from stacks.config.stage_files import STAGES_ROOT, stage_names

IMAGE = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/risk-trainer:7"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "stages"
    folder.mkdir()
    return folder


def changed(root: Path, old: str, new: str, *, of: str = "prod") -> Path:
    text = (STAGES_ROOT / f"{of}.toml").read_text()
    assert old in text
    (root / f"{of}.toml").write_text(text.replace(old, new, 1))
    return root


def test_each_file_is_a_stage_on_its_way_to_production() -> None:
    assert STAGES == ("local", "dev", "staging", "prod")
    assert {path.stem for path in STAGES_ROOT.iterdir()} == set(STAGES)


def test_a_new_file_is_a_new_stage(root: Path) -> None:
    (root / "sandbox.toml").write_text((STAGES_ROOT / "dev.toml").read_text())
    (root / "prod.toml").write_text((STAGES_ROOT / "prod.toml").read_text())
    assert stage_names(root) == ("prod", "sandbox")
    assert load_stage("sandbox", root).name == "sandbox"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("log_retention = 365", "log_retention = 8", "log_retention: input should be 1, 14, 30 or 365."),
        ("log_retention = 365", 'log_retention = "long"', "log_retention: input should be"),
        ("log_retention = 365", "log_retentions = 365", "log_retentions is no setting."),
        ("deadline_ms = 200", "memory = 200", "endpoints.0.memory is no setting."),
        ("deadline_ms = 200", "deadline_ms = 0.2", "endpoints.0.deadline_ms: input should be a valid integer"),
        ("deadline_ms = 200", "deadline_ms = true", "endpoints.0.deadline_ms: input should be a valid integer"),
        ("deadline_ms = 200", "deadline_ms = 1979-05-27", "endpoints.0.deadline_ms: input should be a valid integer"),
        ("deadline_ms = 200", "deadline_ms = nan", "endpoints.0.deadline_ms: input should be a valid integer"),
        ("deadline_ms = 200", "deadline_ms = 5", "Endpoint card-fraud has a deadline of 5 ms"),
        ('"athena"', '"spark"', "analysis_engine: input should be 'duckdb' or 'athena'."),
        ("log_retention", "training = { by = \"webhook\", hours = 0 }\nlog_retention", "A training of 0 hours"),
        ("log_retention", "training = { by = \"oracle\" }\nlog_retention", "training: input tag 'oracle'"),
        ("log_retention", "training = { hours = 3 }\nlog_retention", "training: unable to extract tag"),
        ("= 2_557", "= ", "prod.toml is no TOML: Invalid value (at line"),
        ("burst = 2_000", "burst = 0", "A throttle with a burst of 0 lets nothing through."),
    ],
)  # fmt: skip
def test_what_a_file_cannot_say_is_one_sentence(root: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_stage("prod", changed(root, old, new))
    said = str(refused.value)
    assert said.startswith("stages/prod.toml")
    assert sentence in said
    assert said.endswith(".")
    assert "\n" not in said


def test_a_missing_value_is_named(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^stages/prod\.toml: client_throttle: field required\.$"):
        load_stage("prod", changed(root, "client_throttle = { rate_per_second = 2_000, burst = 2_000 }", ""))


def test_a_file_that_is_no_text_is_one_sentence(root: Path) -> None:
    (root / "prod.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"^stages/prod\.toml is no TOML"):
        load_stage("prod", root)


def test_a_file_chooses_what_trains(root: Path) -> None:
    said = f'training = {{ by = "sagemaker", image = "{IMAGE}" }}\nlog_retention'
    stage = load_stage("prod", changed(root, "log_retention", said))
    assert stage.training == SageMakerTraining(image=IMAGE)
