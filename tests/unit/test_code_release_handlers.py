"""The handlers of both hooks as Lambda loads them: in a fresh process, with nothing but its environment."""

from __future__ import annotations

import json

import pytest

from tests.handler_process import ROOT, HandlerProcess

SETTINGS = {
    "QUICKSILVER_FUNCTIONS": '{"card-fraud": "quicksilver-test-score-card-fraud"}',
    "QUICKSILVER_ALIAS": "live",
    "QUICKSILVER_REGISTRY_TABLE": "registry",
    "QUICKSILVER_MODELS_BUCKET": "models",
    "QUICKSILVER_SIGNING_KEY": "arn:aws:kms:us-east-1:000000000000:key/1",
}
HOOKS = ["before_traffic", "after_traffic"]
run = HandlerProcess("before_traffic", SETTINGS)


@pytest.mark.parametrize("hook", HOOKS)
def test_with_everything_unreachable_it_says_so_and_fails_so_that_it_is_run_again(hook: str) -> None:
    event = json.loads((ROOT / "events" / f"{hook}.json").read_text())
    done = HandlerProcess(hook, SETTINGS)(event)
    assert done.returncode != 0
    assert "CodeDeploy cannot be told the hook's answer: EndpointConnectionError" in done.errors
    assert "CodeDeploy does not say what is deployed: EndpointConnectionError" in done.output


@pytest.mark.parametrize("hook", HOOKS)
def test_nothing_heavy_is_imported(hook: str) -> None:
    assert not HandlerProcess(hook, SETTINGS)().packages & {
        "lightgbm",
        "numpy",
        "scipy",
        "pandas",
        "duckdb",
        "jinja2",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("QUICKSILVER_FUNCTIONS", "{}"), ("QUICKSILVER_ALIAS", ""), ("QUICKSILVER_FUNCTIONS", '{"Card": "f"}')],
)
def test_a_wrong_setting_stops_it_at_init_and_is_named(name: str, value: str) -> None:
    result = run(**{name: value})
    assert result.returncode != 0
    assert name.removeprefix("QUICKSILVER_").lower() in result.errors.lower()
