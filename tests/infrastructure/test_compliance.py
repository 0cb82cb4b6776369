"""No stage has an unexplained finding: cdk-nag at synth, cfn-lint on the templates, the emulator's limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, aws_lambda as lambda_, aws_s3 as s3
from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner

from stacks.constructs.compliance import check_every_synth
from tests.infrastructure.conftest import ROOT, Synthesized, context

EMULATED_TYPES = {
    "AWS::ApiGateway::ApiKey",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::GatewayResponse",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Model",
    "AWS::ApiGateway::Resource",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::ApiGateway::UsagePlan",
    "AWS::ApiGateway::UsagePlanKey",
    "AWS::Athena::WorkGroup",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::KinesisFirehose::DeliveryStream",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
    "AWS::Logs::LogStream",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::StepFunctions::StateMachine",
}
"""Of the types that ministack 1.5.33 provisions (services/cloudformation/provisioners.py), those used here.

A type it does not know fails the deployment: CodeDeploy, Application Auto Scaling, WAF associations.
"""


def findings(folder: Path) -> list[dict[str, Any]]:
    report = json.loads((folder / "validation-report.json").read_text())
    return [finding for plugin in report["pluginReports"] for finding in plugin["violations"]]


def test_cdk_nag_finds_nothing_unexplained_not_even_a_warning(every_stage: Synthesized) -> None:
    assert findings(every_stage.folder) == []


def test_an_unexplained_finding_makes_synth_fail(tmp_path: Path) -> None:
    # Given an app under the same checks, with a bucket that anyone may reach over plain HTTP, and a bare function
    app = App(outdir=str(tmp_path), context=context(), analytics_reporting=False)
    check_every_synth(app)
    stack = Stack(app, "Careless")
    s3.Bucket(stack, "Open")
    lambda_.Function(
        stack,
        "Bare",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("pass"),
    )
    # When it is synthesized, then it fails and the report names a rule of each of the three packs
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    found = json.dumps(findings(tmp_path))
    for rule in (
        "AwsSolutions-S10",
        "Serverless-LambdaDLQ",
        "PCI.DSS.321-LambdaInsideVPC",
        "PCI.DSS.321-S3DefaultEncryptionKMS",
    ):
        assert rule in found


def test_cfn_lint_finds_nothing(every_stage: Synthesized, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on the command line, .cfnlintrc.yaml is read from here; what it ignores says why.
    monkeypatch.chdir(ROOT)
    files = [str(path) for path in every_stage.template_files]
    assert len(files) == len(every_stage.templates) == (4 if every_stage.stage.emulated else 5)
    runner = Runner(ConfigMixIn(["--template", *files]))
    assert [f"{match.rule.id} {match.message}" for match in runner.run()] == []


def test_the_local_stage_uses_only_what_the_emulator_provisions(local: Synthesized) -> None:
    assert {resource["Type"] for resource in local.resources.values()} <= EMULATED_TYPES


def test_no_template_asks_aws_anything_at_synth(every_stage: Synthesized) -> None:
    manifest = json.loads((every_stage.folder / "manifest.json").read_text())
    assert "missing" not in manifest
    stacks = [item for item in manifest["artifacts"].values() if item["type"] == "aws:cloudformation:stack"]
    assert [stack["environment"] for stack in stacks] == ["aws://unknown-account/unknown-region"] * len(
        every_stage.templates
    )
