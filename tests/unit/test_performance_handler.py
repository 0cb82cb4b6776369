"""The performance handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]
EVENT = json.loads((ROOT / "events" / "performance_tick.json").read_text())

SETTINGS = {
    "QUICKSILVER_DRIFT_POLICIES": '{"card-fraud":{"endpoint":"card-fraud","version":1}}',
    "QUICKSILVER_CUTOFFS": '{"card-fraud":0.5}',
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_EVENT_BUS": "default",
    "QUICKSILVER_TOPIC": "arn:aws:sns:us-east-1:000000000000:topic",
}
run = HandlerProcess("performance", SETTINGS)


def test_with_everything_unreachable_it_ends_well_says_so_and_counts_it() -> None:
    done = run(EVENT)
    ((endpoint, said),) = done.answers[0].items()
    assert endpoint == "card-fraud"
    assert said.startswith("failed: The archive cannot be listed")
    counted = done.counted
    assert counted["service"] == "performance"
    for metric in ("PerformanceRunFailed", "RetrainTriggerFailed", "AnnouncementsFailed"):
        assert counted[metric] == [1.0]


def test_what_no_layer_has_is_not_imported() -> None:
    assert not run().packages & {"lightgbm", "scipy", "pandas", "sklearn", "pyarrow", "shap"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUICKSILVER_DRIFT_POLICIES", "{}"),
        ("QUICKSILVER_DRIFT_POLICIES", '{"card-fraud":{"endpoint":"card-fraud","version":0}}'),
        ("QUICKSILVER_CUTOFFS", '{"card-fraud":1.5}'),
        ("QUICKSILVER_TOPIC", ""),
    ],
)
def test_a_function_that_is_not_configured_does_not_start(name: str, value: str) -> None:
    done = run(**{name: value})
    assert done.returncode != 0
    assert name.removeprefix("QUICKSILVER_").lower() in done.errors
