"""A stage with a second region: what is shared, who writes, who answers; off by default, and one sentence for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner

from quicksilver.cost.assembly import read_assembly
from quicksilver.cost.bill import bill
from quicksilver.cost.prices import Charge, prices_of
from quicksilver.cost.workload import workload
from stacks.build import build
from stacks.config import (
    ConfigError,
    Domain,
    HostedZone,
    RestoredTables,
    SecondRegion,
    Side,
    Stage,
    load_stage,
)
from stacks.required_alarms import require_alarms
from tests.infrastructure.conftest import ROOT, Synthesized, context
from tests.infrastructure.lasting import lasting
from tests.infrastructure.test_compliance import findings

KEY = "arn:aws:kms:eu-central-1:111122223333:key/mrk-0123456789abcdef0123456789abcdef"
CERTIFICATE = "arn:aws:acm:{}:111122223333:certificate/11111111-2222-3333-4444-555555555555"
REGIONS = SecondRegion(
    primary="eu-central-1",
    standby="eu-west-1",
    approvals_key=KEY,
    standby_certificate_arn=CERTIFICATE.format("eu-west-1"),
)
DOMAIN = Domain(
    name="scoring.risk.example.com",
    certificate_arn=CERTIFICATE.format("eu-central-1"),
    hosted_zone=HostedZone(id="Z0123456789ABCDEFGHIJ", name="risk.example.com"),
)
STANDBY = Side.STANDBY.value

Templates = Mapping[str, Mapping[str, Any]]


def in_two_regions(regions: SecondRegion = REGIONS) -> Stage:
    return replace(load_stage("prod"), second_region=regions, scoring_domain=DOMAIN)


@pytest.fixture(scope="module")
def synthesized_side(
    layers_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Stage], tuple[Path, Templates]]:
    """A stage's templates by its stacks' short names; each stage is synthesized once."""
    done: dict[Stage, tuple[Path, Templates]] = {}

    def of(stage: Stage) -> tuple[Path, Templates]:
        if stage not in done:
            folder = tmp_path_factory.mktemp("side")
            app = App(outdir=str(folder), context=context(), analytics_reporting=False)
            build(app, stage, layers_root=layers_root)
            done[stage] = (
                folder,
                {
                    stack.stack_name.removeprefix(f"quicksilver-{stage.name}-"): json.loads(
                        Path(stack.template_full_path).read_text()
                    )
                    for stack in app.synth().stacks
                },
            )
        return done[stage]

    return of


@pytest.fixture
def primary(synthesized_side: Callable[[Stage], tuple[Path, Templates]]) -> Templates:
    return synthesized_side(in_two_regions())[1]


@pytest.fixture
def standby(synthesized_side: Callable[[Stage], tuple[Path, Templates]]) -> Templates:
    return synthesized_side(in_two_regions().on_side(STANDBY))[1]


def of_type(template: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {id: item["Properties"] for id, item in template["Resources"].items() if item["Type"] == kind}


def test_nothing_of_either_side_is_without_a_price(
    synthesized_side: Callable[[Stage], tuple[Path, Templates]],
) -> None:
    for stage in (in_two_regions(), in_two_regions().on_side(STANDBY)):
        found = read_assembly(synthesized_side(stage)[0], stage.name)
        priced = bill(found, prices_of("us-east-1"), workload(Decimal(1), found.endpoints))
        (checks,) = [line for line in priced.lines if line.charge is Charge.ROUTE53_HEALTH_CHECKS] or [None]
        assert (checks is not None) == bool(found.of_type("AWS::Route53::HealthCheck"))


def test_no_stage_has_a_second_region_unless_it_says_so(every_stage: Synthesized) -> None:
    assert every_stage.stage.second_region is None
    kinds = {item["Type"] for item in every_stage.resources.values()}
    assert not kinds & {"AWS::DynamoDB::GlobalTable", "AWS::Route53::HealthCheck", "AWS::KMS::ReplicaKey"}
    assert "MultiRegion" not in json.dumps(every_stage.data)
    assert "ReplicationConfiguration" not in json.dumps(every_stage.data)


def test_what_decides_and_what_is_read_online_is_in_both_regions_under_each_regions_own_key(
    primary: Templates,
) -> None:
    tables = {
        item["TableName"]: item for item in of_type(primary["data"], "AWS::DynamoDB::GlobalTable").values()
    }
    assert set(tables) == {f"quicksilver-prod-{name}" for name in ("features", "registry", "announcements")}
    for name, table in tables.items():
        ours, theirs = table["Replicas"]
        assert (ours["Region"], theirs["Region"]) == ("eu-central-1", "eu-west-1")
        data_class = "features" if name.endswith("features") else "models"
        assert theirs["SSESpecification"] == {"KMSMasterKeyId": f"alias/quicksilver/prod/{data_class}"}
        assert "Fn::GetAtt" in ours["SSESpecification"]["KMSMasterKeyId"]
        assert all(
            replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
            for replica in (ours, theirs)
        )
    kept = [
        item for item in primary["data"]["Resources"].values() if item["Type"] == "AWS::DynamoDB::GlobalTable"
    ]
    assert {(item["DeletionPolicy"], item["UpdateReplacePolicy"]) for item in kept} == {("Retain", "Retain")}
    assert all(
        replica["DeletionProtectionEnabled"] for replica in tables["quicksilver-prod-registry"]["Replicas"]
    )


def test_what_one_region_counts_and_keeps_for_itself_is_not_shared(
    primary: Templates, standby: Templates
) -> None:
    for side in (primary, standby):
        own = {id[:-8] for id in of_type(side["data"], "AWS::DynamoDB::Table")}
        assert own == {"Idempotency", "Rollup"}


def writers(template: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the roles that may write to the registry, by region."""
    (registry,) = (
        item
        for item in of_type(template, "AWS::DynamoDB::GlobalTable").values()
        if item["TableName"] == "quicksilver-prod-registry"
    )
    found = {}
    for replica in registry["Replicas"]:
        (statement,) = replica["ResourcePolicy"]["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        arns = statement["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
        found[replica["Region"]] = [
            arn["Fn::Join"][1][-1].rpartition("/")[2] for arn in (arns if isinstance(arns, list) else [arns])
        ]
    return found


REPLICATION = "AWSServiceRoleForDynamoDBReplication"


def test_replication_is_never_denied_and_only_a_regions_own_registry_writes_in_it(primary: Templates) -> None:
    assert writers(primary["data"]) == {
        "eu-central-1": [REPLICATION, "quicksilver-prod-registry-eu-central-1"],
        "eu-west-1": [REPLICATION, "quicksilver-prod-registry-eu-west-1"],
    }


def test_a_standby_answers_and_decides_nothing(standby: Templates) -> None:
    assert set(standby) == {"data", "scoring", "operations"}
    assert standby["data"]["Outputs"]["OnlyAnswers"]["Value"] == STANDBY
    functions = {
        item["FunctionName"] for item in of_type(standby["scoring"], "AWS::Lambda::Function").values()
    }
    assert {"quicksilver-prod-score-card-fraud", "quicksilver-prod-score-credit-line"} <= functions
    told = of_type(standby["scoring"], "AWS::Lambda::Function")
    tables = {
        item["Environment"]["Variables"]["QUICKSILVER_REGISTRY_TABLE"]
        for item in told.values()
        if "QUICKSILVER_REGISTRY_TABLE" in item.get("Environment", {}).get("Variables", {})
    }
    assert tables == {"quicksilver-prod-registry"}
    assert not of_type(standby["data"], "AWS::DynamoDB::GlobalTable")


def test_both_sides_have_every_alarm_that_a_stage_must_have(
    synthesized_side: Callable[[Stage], tuple[Path, Templates]],
) -> None:
    for stage in (in_two_regions(), in_two_regions().on_side(STANDBY)):
        stacks = {f"quicksilver-prod-{name}": item for name, item in synthesized_side(stage)[1].items()}
        require_alarms(stage, stacks)


def test_a_standby_that_has_taken_over_decides_and_the_primarys_registry_may_not_write(
    synthesized_side: Callable[[Stage], tuple[Path, Templates]],
) -> None:
    stage = in_two_regions(replace(REGIONS, failed_over=True))
    assert set(synthesized_side(stage.on_side(STANDBY))[1]) == {
        "data",
        "scoring",
        "control",
        "monitoring",
        "operations",
    }
    _, primary = synthesized_side(stage)
    assert writers(primary["data"]) == {
        "eu-central-1": [REPLICATION],
        "eu-west-1": [REPLICATION, "quicksilver-prod-registry-eu-west-1"],
    }


def test_a_standby_that_is_not_told_the_approvals_key_has_its_data_stack_alone(
    synthesized_side: Callable[[Stage], tuple[Path, Templates]],
) -> None:
    stage = in_two_regions(replace(REGIONS, approvals_key=None))
    assert set(synthesized_side(stage.on_side(STANDBY))[1]) == {"data"}
    assert stage.answers
    assert stage.decides


def test_approvals_are_checked_by_one_key_in_both_regions(primary: Templates, standby: Templates) -> None:
    (signing,) = (item for item in of_type(primary["data"], "AWS::KMS::Key").values() if "KeySpec" in item)
    assert signing["MultiRegion"] is True
    (replica,) = of_type(standby["data"], "AWS::KMS::ReplicaKey").values()
    assert replica["PrimaryKeyArn"] == KEY
    assert "TheRegistryAloneSigns" in json.dumps(replica["KeyPolicy"])
    aliases = [item["AliasName"] for item in of_type(standby["data"], "AWS::KMS::Alias").values()]
    assert "alias/quicksilver/prod/approvals" in aliases
    (id,) = of_type(standby["data"], "AWS::KMS::ReplicaKey")
    assert standby["data"]["Resources"][id]["DeletionPolicy"] == "Retain"


def test_packages_and_evidence_are_copied_to_a_locked_bucket_under_the_key_there(
    primary: Templates, standby: Templates
) -> None:
    (source,) = (
        item
        for item in of_type(primary["data"], "AWS::S3::Bucket").values()
        if "ReplicationConfiguration" in item
    )
    rules = source["ReplicationConfiguration"]["Rules"]
    assert [rule["Filter"] for rule in rules] == [{"Prefix": "packages/"}, {"Prefix": "evidence/"}]
    for rule in rules:
        assert rule["Status"] == "Enabled"
        assert rule["DeleteMarkerReplication"] == {"Status": "Disabled"}
        assert rule["SourceSelectionCriteria"] == {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
        key = json.dumps(rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"])
        assert ":kms:eu-west-1:" in key
        assert "alias/quicksilver/prod/models" in key
    (target,) = (
        item for item in of_type(standby["data"], "AWS::S3::Bucket").values() if "BucketName" in item
    )
    assert target["ObjectLockEnabled"] is True
    name = json.dumps(target["BucketName"])
    assert "quicksilver-prod-models-" in name
    assert "-eu-west-1" in name
    assert json.dumps(target["BucketName"])[1:-1].split('"')[-2] in json.dumps(
        rules[0]["Destination"]["Bucket"]
    )


def test_a_replica_is_not_denied_by_the_targets_own_policy(standby: Templates) -> None:
    """Copies come by s3:ReplicateObject; what the bucket denies is s3:PutObject without If-None-Match."""
    statements = [
        statement
        for policy in of_type(standby["data"], "AWS::S3::BucketPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement.get("Sid", "").startswith("Deny")
    ]
    assert statements
    assert "s3:Replicate" not in json.dumps(statements)


def test_route_53_follows_a_plain_alarm_of_the_primary_and_takes_silence_for_nothing_new(
    primary: Templates, standby: Templates
) -> None:
    (check,) = of_type(primary["scoring"], "AWS::Route53::HealthCheck").values()
    config = check["HealthCheckConfig"]
    assert (config["Type"], config["InsufficientDataHealthStatus"]) == (
        "CLOUDWATCH_METRIC",
        "LastKnownStatus",
    )
    assert config["AlarmIdentifier"]["Region"] == "eu-central-1"
    alarm = primary["scoring"]["Resources"][config["AlarmIdentifier"]["Name"]["Ref"]]["Properties"]
    # Route 53 takes one metric, a plain statistic, and every period in a row.
    assert (alarm["MetricName"], alarm["Statistic"], alarm["EvaluationPeriods"]) == ("5XXError", "Average", 3)
    assert "Metrics" not in alarm
    assert alarm.get("DatapointsToAlarm", 3) == 3
    assert not of_type(standby["scoring"], "AWS::Route53::HealthCheck")


def test_the_name_leads_to_the_primary_while_it_is_healthy_and_to_the_standby_else(
    primary: Templates, standby: Templates
) -> None:
    (first,) = of_type(primary["scoring"], "AWS::Route53::RecordSet").values()
    (second,) = of_type(standby["scoring"], "AWS::Route53::RecordSet").values()
    assert (first["Name"], first["Failover"], first["SetIdentifier"]) == (
        "scoring.risk.example.com.",
        "PRIMARY",
        "primary",
    )
    (check,) = of_type(primary["scoring"], "AWS::Route53::HealthCheck")
    assert first["HealthCheckId"] == {"Fn::GetAtt": [check, "HealthCheckId"]}
    assert (second["Name"], second["Failover"], second["SetIdentifier"]) == (
        "scoring.risk.example.com.",
        "SECONDARY",
        "standby",
    )
    assert "HealthCheckId" not in second
    (name,) = of_type(standby["scoring"], "AWS::ApiGateway::DomainName").values()
    assert name["RegionalCertificateArn"] == CERTIFICATE.format("eu-west-1")


@pytest.mark.parametrize("side", [None, STANDBY])
def test_both_sides_are_clean_and_bound_to_their_region(
    synthesized_side: Callable[[Stage], tuple[Path, Templates]],
    monkeypatch: pytest.MonkeyPatch,
    side: str | None,
) -> None:
    stage = in_two_regions().on_side(side)
    folder, _ = synthesized_side(stage)
    assert findings(folder) == []
    monkeypatch.chdir(ROOT)
    files = [str(path) for path in sorted(folder.glob("*.template.json"))]
    runner = Runner(ConfigMixIn(["--template", *files]))
    assert [f"{match.rule.id} {match.message}" for match in runner.run()] == []
    manifest = json.loads((folder / "manifest.json").read_text())
    stacks = [item for item in manifest["artifacts"].values() if item["type"] == "aws:cloudformation:stack"]
    assert {stack["environment"] for stack in stacks} == {f"aws://unknown-account/{stage.region}"}


def test_what_is_not_shared_keeps_its_logical_ids(
    synthesized_side: Callable[[Stage], tuple[Path, Templates]], synthesized: Callable[[str], Synthesized]
) -> None:
    before = lasting(synthesized("prod"))["data"]
    after = {**synthesized_side(in_two_regions())[1]["data"]["Resources"]}
    gone = {id[:-8] for id in before if id not in after}
    assert gone == {"Features", "Registry", "Announcements"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"standby": "eu-central-1"}, "The standby region is the primary one, eu-central-1"),
        ({"standby": "Ireland"}, "The standby region is 'Ireland', which is no region of AWS"),
        ({"primary": ""}, "The primary region is '', which is no region"),
        ({"approvals_key": "alias/approvals"}, "which is no ARN of a multi-Region key"),
        (
            {"approvals_key": KEY.replace("eu-central-1", "eu-north-1")},
            "of another region than the primary one",
        ),
        ({"approvals_key": None, "failed_over": True}, "needs approvals_key"),
    ],
)
def test_regions_that_cannot_be_are_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        replace(REGIONS, **changes)


def test_a_stage_that_cannot_have_a_second_region_says_so() -> None:
    with pytest.raises(ConfigError, match="which an emulator has not"):
        replace(load_stage("local"), second_region=REGIONS)
    with pytest.raises(ConfigError, match="Stage prod has no second region, so it has no standby"):
        load_stage("prod").on_side(STANDBY)
    with pytest.raises(ConfigError, match="There is no side 'other'"):
        in_two_regions().on_side("other")
    with pytest.raises(ConfigError, match="would be replicated nowhere"):
        replace(in_two_regions(), restored_tables=RestoredTables(registry="restored"))
    with pytest.raises(ConfigError, match="which needs standby_certificate_arn"):
        in_two_regions(replace(REGIONS, standby_certificate_arn=None))
    with pytest.raises(ConfigError, match="whose certificate is in another region"):
        in_two_regions(replace(REGIONS, standby_certificate_arn=CERTIFICATE.format("eu-north-1"))).on_side(
            STANDBY
        )
    assert in_two_regions().on_side(None) == in_two_regions()
    assert in_two_regions().on_side("primary") == in_two_regions()


def test_a_stage_file_says_its_second_region(tmp_path: Path) -> None:
    text = (ROOT / "stacks" / "stages" / "dev.toml").read_text()
    said = '\n[second_region]\nprimary = "eu-central-1"\nstandby = "eu-west-1"\n'
    (tmp_path / "dev.toml").write_text(text + said)
    stage = load_stage("dev", tmp_path)
    assert stage.region == "eu-central-1"
    assert stage.on_side(STANDBY).region == "eu-west-1"
