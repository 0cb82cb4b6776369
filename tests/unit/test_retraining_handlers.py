"""The machine's functions as Lambda loads them: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = {
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_REGISTRY_API_URL": "https://abc.execute-api.us-east-1.amazonaws.com/test/",
    "QUICKSILVER_DRIFT_POLICIES": '{"card-fraud": {"endpoint": "card-fraud", "version": 1}}',
    "QUICKSILVER_POLICIES": '{"card-fraud": {"endpoint": "card-fraud", "version": 1, "cutoff": 0.5}}',
}
RUNS = {name: HandlerProcess(name, SETTINGS) for name in ("training_set", "candidate")}

STEP = json.loads((ROOT / "events" / "train_card_fraud.json").read_text())


@pytest.mark.parametrize("name", list(RUNS))
def test_a_store_that_cannot_be_reached_is_unavailable_by_the_name_that_the_machine_tries_again(
    name: str,
) -> None:
    done = RUNS[name](STEP)
    assert done.returncode != 0
    assert "Unavailable: The monitoring's documents cannot be read" in done.errors


@pytest.mark.parametrize("name", list(RUNS))
def test_an_input_that_is_no_request_is_refused_by_its_fields(name: str) -> None:
    done = RUNS[name]({**STEP, "request_id": "../../secrets"})
    assert done.returncode != 0
    assert "InvalidInput: The machine's input is no request. request_id:" in done.errors


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("training_set", "QUICKSILVER_DRIFT_POLICIES", "{}"),
        ("training_set", "QUICKSILVER_ARCHIVE_BUCKET", ""),
        ("candidate", "QUICKSILVER_POLICIES", "{}"),
        ("candidate", "QUICKSILVER_REGISTRY_API_URL", ""),
    ],
)
def test_a_wrong_setting_stops_it_at_init_and_is_named(name: str, setting: str, value: str) -> None:
    result = RUNS[name](**{setting: value})
    assert result.returncode != 0
    assert setting.removeprefix("QUICKSILVER_").lower() in result.errors.lower()
