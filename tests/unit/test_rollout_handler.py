"""The rollout handler as Lambda loads it: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.handler_process import HandlerProcess

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = {
    "QUICKSILVER_ENDPOINTS": '["card-fraud", "credit-line"]',
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_REGISTRY_API_URL": "https://abc.execute-api.us-east-1.amazonaws.com/test/",
    "QUICKSILVER_ROLLUP_TABLE": "rollup",
    "QUICKSILVER_ANNOUNCEMENTS_TABLE": "announcements",
    "QUICKSILVER_EVENT_BUS": "default",
    "QUICKSILVER_TOPIC": "arn:aws:sns:us-east-1:000000000000:announcements",
}
run = HandlerProcess("rollout", SETTINGS)

TICK = json.loads((ROOT / "events" / "rollout_tick.json").read_text())


def test_with_everything_unreachable_it_says_so_for_each_endpoint_counts_it_and_does_not_fail() -> None:
    done = run(TICK)
    (answer,) = done.answers
    assert set(answer) == {"card-fraud", "credit-line"}
    assert all(said.startswith("failed: The registry cannot be reached") for said in answer.values())
    counted = done.counted
    assert counted["RolloutLookFailed"] == [1, 1]
    assert counted["AnnouncementsFailed"] == [1, 1]
    assert "RolloutLooks" not in counted


def test_nothing_heavy_is_imported() -> None:
    assert not run().packages & {
        "lightgbm",
        "numpy",
        "scipy",
        "shap",
        "pandas",
        "sklearn",
        "duckdb",
        "jinja2",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("QUICKSILVER_ENDPOINTS", "[]"), ("QUICKSILVER_ENDPOINTS", '["Card"]'), ("QUICKSILVER_TOPIC", "")],
)
def test_a_wrong_setting_stops_it_at_init_and_is_named(name: str, value: str) -> None:
    result = run(**{name: value})
    assert result.returncode != 0
    assert name.removeprefix("QUICKSILVER_").lower() in result.errors.lower()
