"""An API's own name, and mutual TLS: by the stage's configuration, and what our own callers then use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner

from stacks.config import ConfigError, Domain, Firewall, HostedZone, Truststore, load_stage
from stacks.config.stage_files import STAGES_ROOT
from tests.infrastructure.conftest import ROOT, Synthesized, synthesize
from tests.infrastructure.test_compliance import findings

CERTIFICATE = "arn:aws:acm:eu-central-1:111122223333:certificate/0a1b2c3d-0000-4000-8000-0123456789ab"
ELSEWHERE = CERTIFICATE.replace("eu-central-1", "us-east-1")
TRUSTSTORE = Truststore(
    uri="s3://risk-truststores/engines/ca.pem", version="3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"
)
SCORING = Domain(name="scoring.risk.example.com", certificate_arn=CERTIFICATE, truststore=TRUSTSTORE)
REGISTRY = Domain(
    name="registry.risk.example.com",
    certificate_arn=CERTIFICATE,
    hosted_zone=HostedZone(id="Z0123456789ABCDEFGHIJ", name="risk.example.com"),
)


@pytest.fixture(scope="module")
def named(layers_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The dev stage with a name for each API, the scoring API's with mutual TLS."""
    stage = replace(
        load_stage("dev"), scoring_domain=SCORING, registry_domain=REGISTRY, client_requests_per_day=1_000_000
    )
    return synthesize(stage, layers_root, tmp_path_factory.mktemp("named"))


def one(synthesized: Synthesized, kind: str, stack: str) -> Mapping[str, Any]:
    (found,) = synthesized.of_type(kind, stack).values()
    properties: Mapping[str, Any] = found["Properties"]
    return properties


def test_each_api_is_the_whole_of_its_name(named: Synthesized) -> None:
    for stack, domain in (("scoring", SCORING), ("control", REGISTRY)):
        name = one(named, "AWS::ApiGateway::DomainName", stack)
        assert name["DomainName"] == domain.name
        assert name["RegionalCertificateArn"] == CERTIFICATE
        assert name["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
        assert name["SecurityPolicy"] == "TLS_1_2"
        mapping = one(named, "AWS::ApiGateway::BasePathMapping", stack)
        # With a base path, Lambda would get the path with it, and the functions would find nothing there.
        assert "BasePath" not in mapping
        ((stage, _),) = named.of_type("AWS::ApiGateway::Stage", stack).items()
        assert mapping["Stage"] == {"Ref": stage}


def test_a_truststore_is_at_one_version_and_closes_the_other_door(named: Synthesized) -> None:
    name = one(named, "AWS::ApiGateway::DomainName", "scoring")
    assert name["MutualTlsAuthentication"] == {
        "TruststoreUri": TRUSTSTORE.uri,
        "TruststoreVersion": TRUSTSTORE.version,
    }
    assert one(named, "AWS::ApiGateway::RestApi", "scoring")["DisableExecuteApiEndpoint"] is True


def test_the_registry_asks_nobody_for_a_certificate_and_our_functions_call_it_by_its_own_address(
    named: Synthesized,
) -> None:
    assert "MutualTlsAuthentication" not in one(named, "AWS::ApiGateway::DomainName", "control")
    assert "DisableExecuteApiEndpoint" not in one(named, "AWS::ApiGateway::RestApi", "control")
    callers = [
        environment["QUICKSILVER_REGISTRY_API_URL"]
        for function in named.of_type("AWS::Lambda::Function").values()
        if "QUICKSILVER_REGISTRY_API_URL"
        in (environment := function["Properties"].get("Environment", {}).get("Variables", {}))
    ]
    assert len(callers) >= 2
    assert all(".execute-api." in json.dumps(address) or "Fn::ImportValue" in address for address in callers)


def test_the_outputs_are_where_people_find_it(named: Synthesized) -> None:
    assert named.scoring["Outputs"]["ApiUrl"]["Value"] == "https://scoring.risk.example.com/"
    assert named.control["Outputs"]["RegistryApiUrl"]["Value"] == "https://registry.risk.example.com/"
    ((scoring, _),) = named.of_type("AWS::ApiGateway::DomainName", "scoring").items()
    assert named.scoring["Outputs"]["ApiDomainTarget"]["Value"] == {
        "Fn::GetAtt": [scoring, "RegionalDomainName"]
    }


def test_a_record_is_made_in_the_zone_that_is_given_and_nowhere_else(named: Synthesized) -> None:
    record = one(named, "AWS::Route53::RecordSet", "control")
    assert (record["Name"], record["Type"]) == ("registry.risk.example.com.", "A")
    assert record["HostedZoneId"] == "Z0123456789ABCDEFGHIJ"
    ((name, _),) = named.of_type("AWS::ApiGateway::DomainName", "control").items()
    assert record["AliasTarget"]["DNSName"] == {"Fn::GetAtt": [name, "RegionalDomainName"]}
    assert not [r for r in named.scoring["Resources"].values() if r["Type"] == "AWS::Route53::RecordSet"]


def test_cdk_nag_and_cfn_lint_find_nothing_in_it(named: Synthesized, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(named.folder) == []
    monkeypatch.chdir(ROOT)
    runner = Runner(ConfigMixIn(["--template", *map(str, named.template_files)]))
    assert [f"{match.rule.id} {match.message}" for match in runner.run()] == []


def test_no_stage_has_a_name_unless_its_file_says_so(every_stage: Synthesized) -> None:
    kinds = {item["Type"] for item in every_stage.resources.values()}
    assert not {"AWS::ApiGateway::DomainName", "AWS::Route53::RecordSet"} & kinds
    for api in every_stage.of_type("AWS::ApiGateway::RestApi").values():
        assert "DisableExecuteApiEndpoint" not in api["Properties"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(SCORING, name="Scoring.example.com"), "no domain name, such as"),
        (lambda: replace(SCORING, name="localhost"), "no domain name, such as"),
        (lambda: replace(SCORING, name=f"{'a' * 64}.example.com"), "no domain name, such as"),
        (lambda: replace(SCORING, certificate_arn="certificate"), "no certificate of AWS Certificate Manager"),
        (
            lambda: replace(SCORING, certificate_arn=CERTIFICATE.replace(":acm:", ":iam:")),
            "no certificate of AWS Certificate Manager",
        ),
        (lambda: replace(TRUSTSTORE, uri="https://risk/ca.pem"), "no file in Amazon S3, such as"),
        (lambda: replace(TRUSTSTORE, uri="s3://risk-truststores/"), "no file in Amazon S3, such as"),
        (lambda: replace(TRUSTSTORE, version=" "), "needs a version of the object"),
        (lambda: replace(REGISTRY, name="registry.example.org"), "is not within its hosted zone risk.example.com"),
        (lambda: replace(REGISTRY, name="registry.norisk.example.com"), "is not within its hosted zone"),
        (lambda: HostedZone(id="zone", name="risk.example.com"), "no hosted zone's id"),
        (lambda: HostedZone(id="Z0123456789", name="risk"), "no hosted zone's name"),
        (lambda: replace(load_stage("local"), scoring_domain=SCORING), "which an emulator has not"),
        (
            lambda: replace(load_stage("dev"), scoring_domain=SCORING, registry_domain=replace(REGISTRY, name=SCORING.name)),
            "one domain for two APIs",
        ),
        (
            lambda: replace(
                load_stage("dev"), scoring_domain=SCORING, registry_domain=replace(REGISTRY, certificate_arn=ELSEWHERE)
            ),
            "two regions, eu-central-1 and us-east-1",
        ),
        (
            lambda: replace(load_stage("dev"), registry_domain=replace(REGISTRY, truststore=TRUSTSTORE)),
            "our own functions, which call it, sign and have none",
        ),
        (lambda: replace(load_stage("dev"), firewall=None), "has no firewall; it needs one on AWS"),
        (
            lambda: replace(load_stage("local"), firewall=load_stage("dev").firewall),
            "has a firewall; it needs one on AWS, and an emulator has none",
        ),
        (lambda: Firewall(scoring_per_minute=9, registry_per_minute=100), "through to scoring is none"),
        (lambda: Firewall(scoring_per_minute=100, registry_per_minute=0), "through to the registry is none"),
        (
            lambda: replace(
                load_stage("dev"), firewall=Firewall(scoring_per_minute=2_999, registry_per_minute=6_000)
            ),
            "a caller who keeps to the throttle would be shut out",
        ),
        (lambda: replace(load_stage("dev"), client_requests_per_day=0), "it must be at least 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        make()
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_stage_file_may_say_all_of_it(tmp_path: Path) -> None:
    text = (STAGES_ROOT / "dev.toml").read_text()
    (tmp_path / "dev.toml").write_text(
        text.replace(
            "\n[[endpoints]]",
            f"""
client_requests_per_day = 1_000_000

[scoring_domain]
name = "{SCORING.name}"
certificate_arn = "{CERTIFICATE}"
truststore = {{ uri = "{TRUSTSTORE.uri}", version = "{TRUSTSTORE.version}" }}

[registry_domain]
name = "{REGISTRY.name}"
certificate_arn = "{CERTIFICATE}"
hosted_zone = {{ id = "Z0123456789ABCDEFGHIJ", name = "risk.example.com" }}

[[endpoints]]""",
            1,
        )
    )
    stage = load_stage("dev", tmp_path)
    assert (stage.scoring_domain, stage.registry_domain) == (SCORING, REGISTRY)
    assert stage.client_requests_per_day == 1_000_000


def test_a_truststore_without_a_domain_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.toml").write_text(
        (STAGES_ROOT / "dev.toml").read_text()
        + f'[scoring_domain]\ntruststore = {{ uri = "{TRUSTSTORE.uri}", version = "1" }}\n'
    )
    with pytest.raises(ConfigError, match=r"dev.toml: scoring_domain\.(name|certificate_arn)"):
        load_stage("dev", tmp_path)


def test_a_key_has_a_quota_a_day_where_the_stage_says_so(named: Synthesized, aws_stage: Synthesized) -> None:
    assert one(named, "AWS::ApiGateway::UsagePlan", "scoring")["Quota"] == {
        "Limit": 1_000_000,
        "Period": "DAY",
    }
    assert "Quota" not in one(aws_stage, "AWS::ApiGateway::UsagePlan", "scoring")
