"""Gate policies at synth: an endpoint without a sound one is not deployed, and the sentence says which."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from aws_cdk import App

from quicksilver.drift_policy import DriftPolicy
from quicksilver.gates.policy import Policy
from stacks.build import build
from stacks.config import ConfigError, load_stage
from stacks.policies import POLICIES_ROOT, drift_policies_json, policies_json


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a sound policy for each endpoint of the stages."""
    folder = tmp_path / "policies"
    (folder / "drift").mkdir(parents=True)
    for endpoint in load_stage("dev").endpoints:
        text = f'endpoint = "{endpoint.name}"\nversion = 3\ncutoff = 0.5\n'
        (folder / f"{endpoint.name}.toml").write_text(text)
        drift = f'endpoint = "{endpoint.name}"\nversion = 4\nfdr = 0.01\n'
        (folder / "drift" / f"{endpoint.name}.toml").write_text(drift)
    return folder


def test_policies_are_given_whole_with_every_default_written_out(root: Path) -> None:
    content = json.loads(policies_json(load_stage("dev"), root))
    assert set(content) == {"card-fraud", "credit-line"}
    assert content["card-fraud"]["version"] == 3
    assert set(content["card-fraud"]) == set(Policy.model_fields)


def test_every_endpoint_of_every_stage_has_its_policy_in_the_checkout() -> None:
    for stage in ("local", "dev", "staging", "prod"):
        assert policies_json(load_stage(stage), POLICIES_ROOT)


def test_drift_policies_are_given_without_their_defaults(root: Path) -> None:
    content = json.loads(drift_policies_json(load_stage("dev"), root))
    assert content["credit-line"] == {"endpoint": "credit-line", "version": 4, "fdr": 0.01}
    for stage in ("local", "dev", "staging", "prod"):
        assert drift_policies_json(load_stage(stage), POLICIES_ROOT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"^Endpoint credit-line has no drift policy: write policies/drift/credit-line\.toml\.$"),
        ('endpoint = "credit-line"\nversion = 1\nfdr = 0.5\n', r"credit-line\.toml is not valid: fdr: "),
        ('endpoint = "card-fraud"\nversion = 1\n', "is for the endpoint card-fraud"),
        (
            'endpoint = "credit-line"\nversion = 1\n[retraining.business_hours]\nfrom_hour = 9\nuntil_hour = 9\n',
            "until_hour must be after from_hour",
        ),
    ],
)
def test_a_drift_policy_that_is_wrong_is_one_sentence(root: Path, text: str | None, words: str) -> None:
    file = root / "drift" / "credit-line.toml"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(ConfigError, match=words) as refused:
        drift_policies_json(load_stage("dev"), root)
    assert "\n" not in str(refused.value)


def test_an_endpoint_without_a_policy_says_what_to_write(
    root: Path, layers_root: Path, tmp_path: Path
) -> None:
    (root / "credit-line.toml").unlink()
    with pytest.raises(
        ConfigError, match=r"^Endpoint credit-line has no gate policy: write policies/credit-line\.toml\.$"
    ):
        build(
            App(outdir=str(tmp_path / "assembly")),
            load_stage("dev"),
            layers_root=layers_root,
            policies_root=root,
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cutoff =", r"policies/card-fraud\.toml is not valid: \(file\): "),
        ('endpoint = "card-fraud"\nversion = 1\ncutoff = 1.5\n', r"is not valid: cutoff: "),
        ('endpoint = "credit-line"\nversion = 1\ncutoff = 0.5\n', "is for the endpoint credit-line"),
    ],
)
def test_a_policy_that_is_wrong_is_one_sentence(root: Path, text: str, words: str) -> None:
    (root / "card-fraud.toml").write_text(text)
    with pytest.raises(ConfigError, match=words) as refused:
        policies_json(load_stage("dev"), root)
    assert "\n" not in str(refused.value)


def test_more_policies_than_lambdas_environment_holds_are_refused_at_synth(
    root: Path, layers_root: Path, tmp_path: Path
) -> None:
    first = load_stage("dev").endpoints[0]
    endpoints = tuple(replace(first, name=f"endpoint-{letter}") for letter in "abcdefgh")
    for endpoint in endpoints:
        text = f'endpoint = "{endpoint.name}"\nversion = 1\ncutoff = 0.5\n'
        (root / f"{endpoint.name}.toml").write_text(text)
    with pytest.raises(
        ConfigError,
        match=r"^The environment of quicksilver-dev-registry would take \d{4} bytes; Lambda allows 4096\.$",
    ):
        build(
            App(outdir=str(tmp_path / "assembly")),
            replace(load_stage("dev"), endpoints=endpoints),
            layers_root=layers_root,
            policies_root=root,
        )


def test_an_emulated_stage_waits_an_hour_for_late_records_and_others_as_their_policy_says() -> None:
    late = {
        stage: DriftPolicy.model_validate(
            json.loads(drift_policies_json(load_stage(stage), POLICIES_ROOT))["card-fraud"]
        ).late_hours
        for stage in ("local", "dev", "prod")
    }
    assert late == {"local": 1, "dev": 48, "prod": 48}
