"""The drift handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]

POLICIES = {name: {"endpoint": name, "version": 1} for name in ("card-fraud", "credit-line")}
SETTINGS = {
    "QUICKSILVER_DRIFT_POLICIES": json.dumps(POLICIES),
    "QUICKSILVER_CUTOFFS": '{"card-fraud": 0.5, "credit-line": 0.2}',
    "QUICKSILVER_ARCHIVE_BUCKET": "archive",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_ROLLUP_TABLE": "rollup",
    "QUICKSILVER_EVENT_BUS": "default",
    "QUICKSILVER_TOPIC": "arn:aws:sns:us-east-1:000000000000:announcements",
}
run = HandlerProcess("drift", SETTINGS)

TICK = json.loads((ROOT / "events" / "drift_tick.json").read_text())


def test_with_everything_unreachable_it_says_so_for_each_endpoint_counts_it_and_does_not_fail() -> None:
    done = run(TICK)
    (answer,) = done.answers
    assert set(answer) == {"card-fraud", "credit-line"}
    assert all("failed: The monitoring's documents cannot be listed" in said for said in answer.values())
    counted = done.counted
    assert counted["DriftRunFailed"] == [1, 1]
    assert counted["RetrainTriggerFailed"] == [1, 1]
    assert counted["AnnouncementsFailed"] == [1, 1]
    assert "DriftWindowsJudged" not in counted


def test_it_imports_what_the_analysis_layer_has_and_nothing_that_no_layer_has() -> None:
    packages = run().packages
    assert "duckdb" in packages
    assert not packages & {"lightgbm", "scipy", "shap", "pandas", "pyarrow", "sklearn", "typer", "rich"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"QUICKSILVER_DRIFT_POLICIES": "{}"}, "drift_policies"),
        ({"QUICKSILVER_CUTOFFS": '{"card-fraud": 0.5}'}, "cutoffs has none of credit-line"),
        ({"QUICKSILVER_ENGINE": "spark"}, "engine"),
        ({"QUICKSILVER_ENGINE": "athena"}, "athena_workgroup"),
        ({"QUICKSILVER_TOPIC": ""}, "topic"),
    ],
)
def test_a_wrong_setting_stops_it_at_init_and_is_named(changes: dict[str, str], named: str) -> None:
    result = run(**changes)
    assert result.returncode != 0
    assert named in result.errors.lower()
