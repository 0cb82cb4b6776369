"""The train handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
from pathlib import Path

from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = {
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
}
run = HandlerProcess("train", SETTINGS)
STEP = json.loads((ROOT / "events" / "train_card_fraud.json").read_text())


def test_it_starts_without_what_no_layer_has() -> None:
    done = run()
    assert done.returncode == 0
    assert not done.packages & {"lightgbm", "pandas", "pyarrow", "scipy", "sklearn", "rich", "typer"}


def test_with_everything_unreachable_it_fails_in_one_sentence_and_the_machine_tries_again() -> None:
    done = run(STEP)
    assert done.returncode != 0
    last = done.errors.strip().splitlines()[-1]
    assert last.startswith("quicksilver.errors.Unavailable: ")


def test_an_input_that_is_no_step_is_refused_naming_its_fields() -> None:
    done = run({"endpoint": "Card Fraud"})
    assert done.returncode != 0
    last = done.errors.strip().splitlines()[-1]
    assert last.startswith("quicksilver.errors.InvalidInput: ")
    assert "endpoint: " in last
    assert "request_id: " in last
