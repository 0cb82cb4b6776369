"""The stack that lets GitHub's workflows in: who takes a role, and every single thing it may then do."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from aws_cdk import App
from botocore import xform_name
from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner

from quicksilver.aws import stage_reader
from quicksilver.registry_api import OPERATIONS
from stacks.build import build_delivery
from stacks.config import STAGES, ConfigError, load_stage
from stacks.config.delivery import Delivery, load_delivery
from tests.infrastructure.conftest import ROOT, Synthesized, context

ON_AWS = [name for name in STAGES if not load_stage(name).emulated]
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::AccountId": "111122223333",
    "AWS::Region": "eu-central-1",
    "AWS::URLSuffix": "amazonaws.com",
}

Template = Mapping[str, Any]


def synthesize(delivery: Delivery, folder: Path) -> Template:
    app = App(outdir=str(folder), context=context(), analytics_reporting=False)
    build_delivery(app, delivery)
    (stack,) = app.synth().stacks
    template: Template = stack.template
    return template


def delivery(*stages: str, **other: Any) -> Delivery:
    given = {"repository": "acme/quicksilver", "models_repository": "acme/models", "stages": stages} | other
    return Delivery(**given)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Template, Path]]:
    """An account's template and its folder, by the stages it holds; each is synthesized once."""
    done: dict[tuple[str, ...], tuple[Template, Path]] = {}

    def of(*stages: str) -> tuple[Template, Path]:
        if stages not in done:
            folder = tmp_path_factory.mktemp("delivery")
            done[stages] = synthesize(delivery(*stages), folder), folder
        return done[stages]

    return of


def written(value: Any) -> str:
    """A value of the template as CloudFormation would write it."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return PSEUDO.get(name, name)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(written(part) for part in parts)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}.{attribute}"
    raise AssertionError(value)


def listed(value: Any) -> list[str]:
    return [written(item) for item in value] if isinstance(value, list) else [written(value)]


def roles(template: Template) -> dict[str, dict[str, Any]]:
    found = {
        name: item["Properties"]
        for name, item in template["Resources"].items()
        if item["Type"] == "AWS::IAM::Role"
    }
    return {
        properties["RoleName"]: properties
        | {
            "statements": [
                statement
                for item in template["Resources"].values()
                if item["Type"] == "AWS::IAM::ManagedPolicy" and {"Ref": name} in item["Properties"]["Roles"]
                for statement in item["Properties"]["PolicyDocument"]["Statement"]
            ]
        }
        for name, properties in found.items()
    }


def grants(role: Mapping[str, Any], effect: str) -> list[tuple[str, str]]:
    """Each action and resource that a role's statements of an effect name."""
    return [
        (action, resource)
        for statement in role["statements"]
        if statement["Effect"] == effect
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    ]


def may(role: Mapping[str, Any], action: str, arn: str) -> bool:
    """As IAM decides, conditions apart: one allows, none denies."""

    def named(effect: str) -> bool:
        return any(action == named and fnmatchcase(arn, resource) for named, resource in grants(role, effect))

    return named("Allow") and not named("Deny")


# -- who takes a role --


@pytest.mark.parametrize("stage", ON_AWS)
def test_a_role_is_taken_by_the_one_repository_and_environment_alone(
    account: Callable[..., tuple[Template, Path]], stage: str
) -> None:
    template, _ = account(stage)
    trusted = {}
    for name, role in roles(template).items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert statement["Principal"] == {"Federated": {"Fn::GetAtt": ["GitHub", "Arn"]}}
        assert list(statement["Condition"]) == ["StringEquals"], "a pattern lets others in"
        (audience, subject) = statement["Condition"]["StringEquals"].items()
        assert audience == ("token.actions.githubusercontent.com:aud", "sts.amazonaws.com")
        assert subject[0] == "token.actions.githubusercontent.com:sub"
        trusted[name] = subject[1]
        assert role["MaxSessionDuration"] == (6 if name.endswith("-rollout") else 1) * 3600
    assert trusted == {
        "quicksilver-diff": ["repo:acme/quicksilver:pull_request", "repo:acme/quicksilver:environment:diff"],
        f"quicksilver-{stage}-deploy": [f"repo:acme/quicksilver:environment:{stage}"],
        f"quicksilver-{stage}-doctor": [f"repo:acme/quicksilver:environment:{stage}"],
        f"quicksilver-{stage}-gate": [
            "repo:acme/models:pull_request",
            "repo:acme/models:ref:refs/heads/main",
        ],
        f"quicksilver-{stage}-register": [f"repo:acme/models:environment:{stage}-models"],
        f"quicksilver-{stage}-rollout": [f"repo:acme/models:environment:{stage}-rollout"],
    }


def test_an_account_has_githubs_provider_once_or_uses_the_one_it_has(tmp_path: Path) -> None:
    arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
    template = synthesize(delivery("dev", "staging", provider_arn=arn), tmp_path)
    assert not [item for item in template["Resources"].values() if item["Type"] == "AWS::IAM::OIDCProvider"]
    for role in roles(template).values():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Federated": arn}


def test_the_provider_gives_tokens_for_aws_only(account: Callable[..., tuple[Template, Path]]) -> None:
    template, _ = account("dev", "staging")
    (provider,) = (
        item["Properties"]
        for item in template["Resources"].values()
        if item["Type"] == "AWS::IAM::OIDCProvider"
    )
    assert provider == {
        "Url": "https://token.actions.githubusercontent.com",
        "ClientIdList": ["sts.amazonaws.com"],
    }


# -- what it may do --


@pytest.mark.parametrize("stage", ON_AWS)
def test_a_deployment_takes_the_bootstrap_roles_of_its_region_and_nothing_else(
    account: Callable[..., tuple[Template, Path]], stage: str
) -> None:
    role = roles(account(stage)[0])[f"quicksilver-{stage}-deploy"]
    assert grants(role, "Allow") == [
        ("sts:AssumeRole", f"arn:aws:iam::111122223333:role/cdk-hnb659fds-{which}-111122223333-eu-central-1")
        for which in ("deploy-role", "file-publishing-role", "lookup-role")
    ]


def test_a_stage_takes_the_bootstrap_roles_that_its_templates_name(every_stage: Synthesized) -> None:
    manifest = json.loads((every_stage.folder / "manifest.json").read_text())
    named = {
        match
        for item in manifest["artifacts"].values()
        for key, value in item.get("properties", {}).items()
        if key in ("assumeRoleArn", "lookupRole")
        for match in re.findall(r"role/cdk-(\w+)-([a-z-]+-role)-", json.dumps(value))
    }
    assert named == {("hnb659fds", "deploy-role"), ("hnb659fds", "lookup-role")}
    publishing = {
        match
        for path in every_stage.folder.glob("*.assets.json")
        for match in re.findall(r"role/cdk-(\w+)-([a-z-]+-role)-", path.read_text())
    }
    assert publishing == {("hnb659fds", "file-publishing-role")}


def test_a_difference_reads_the_templates_of_the_accounts_stages_and_nothing_else(
    account: Callable[..., tuple[Template, Path]],
) -> None:
    role = roles(account("dev", "staging")[0])["quicksilver-diff"]
    assert set(grants(role, "Allow")) == {
        (
            f"cloudformation:{action}",
            f"arn:aws:cloudformation:eu-central-1:111122223333:stack/quicksilver-{stage}-*",
        )
        for action in ("DescribeStacks", "GetTemplate")
        for stage in ("dev", "staging")
    }


NAMED_OTHERWISE = {
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:ListObjectsV2": "s3:ListBucket",
}
"""IAM's name for an operation, where it is another. https://docs.aws.amazon.com/AmazonS3/latest/userguide/security_iam_service-with-iam.html"""

PREFIXES = {"stepfunctions": "states"}


def operations_of_the_reader() -> set[str]:
    """Every AWS operation that ``AwsStageReader`` names, in a method that makes the client of its service."""
    (reader,) = (
        node
        for node in ast.parse(inspect.getsource(stage_reader)).body
        if isinstance(node, ast.ClassDef) and node.name == "AwsStageReader"
    )
    found = set()
    for method in (node for node in reader.body if isinstance(node, ast.FunctionDef)):
        inner = list(ast.walk(method))
        words = {node.attr for node in inner if isinstance(node, ast.Attribute)}
        words |= {
            node.value for node in inner if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        made = {
            node.args[0].value
            for node in inner
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "_client"
            and isinstance(node.args[0], ast.Constant)
        }
        # A method that hands an operation's name on makes no client: those are of buckets.
        for service in made or {"s3"}:
            model = botocore.session.get_session().get_service_model(str(service))
            prefix = PREFIXES.get(str(service), str(service))
            found |= {f"{prefix}:{name}" for name in model.operation_names if xform_name(name) in words}
    return {NAMED_OTHERWISE.get(action, action) for action in found}


OF_THE_REGISTRY_AND_THE_API = {
    "apigateway:GET",
    "dynamodb:GetItem",
    "dynamodb:Query",
    "execute-api:Invoke",
    "kms:Decrypt",
    "kms:Verify",
    "s3:GetObject",
}
"""What the doctor's look at the registry, its packages and the rollup takes, and its request to an endpoint."""


@pytest.mark.parametrize("stage", ON_AWS)
def test_an_examination_may_do_what_the_doctor_calls_and_nothing_else(
    account: Callable[..., tuple[Template, Path]], stage: str
) -> None:
    asked = operations_of_the_reader()
    assert {
        "cloudformation:ListStackResources",
        "s3:GetEncryptionConfiguration",
        "states:DescribeStateMachine",
    } <= asked
    role = roles(account(stage)[0])[f"quicksilver-{stage}-doctor"]
    # Anybody may ask who they are.
    assert {action for action, _ in grants(role, "Allow")} == (
        asked - {"sts:GetCallerIdentity"} | OF_THE_REGISTRY_AND_THE_API
    )


@pytest.mark.parametrize("stage", ON_AWS)
def test_an_examination_reads_neither_a_decision_nor_a_feature(
    account: Callable[..., tuple[Template, Path]], stage: str
) -> None:
    role = roles(account(stage)[0])[f"quicksilver-{stage}-doctor"]
    archived = f"arn:aws:s3:::quicksilver-{stage}-data-archive1-x/predictions/card-fraud/2026/01/01/00/a"
    assert not may(role, "s3:GetObject", archived)
    for table, readable in (
        ("Registry", True),
        ("Rollup", True),
        ("Features", False),
        ("Idempotency", False),
    ):
        arn = f"arn:aws:dynamodb:eu-central-1:111122223333:table/quicksilver-{stage}-data-{table}1-X"
        assert may(role, "dynamodb:Query", arn) is readable
        assert not may(role, "dynamodb:PutItem", arn)


@pytest.mark.parametrize("stage", ON_AWS)
def test_what_a_role_may_fits_into_one_policy(
    account: Callable[..., tuple[Template, Path]], stage: str
) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
    for name, role in roles(account(stage)[0]).items():
        written_out = json.dumps(
            [{**statement, "Resource": listed(statement["Resource"])} for statement in role["statements"]],
            separators=(",", ":"),
        )
        assert len(written_out) < 6_144 - 300, name


REGISTRY = {
    "GET card-fraud/models": set(),
    "POST card-fraud/models": {"register"},
    "GET card-fraud/models/3": {"register", "rollout"},
    "GET card-fraud/models/3/evidence": {"register", "rollout"},
    "POST card-fraud/models/3/evidence": {"register"},
    "POST card-fraud/models/3/override": set(),
    "POST card-fraud/models/3/approve": set(),
    "POST card-fraud/models/3/reject": set(),
    "POST card-fraud/models/3/retire": set(),
    "GET card-fraud/route": {"gate"},
    "PUT card-fraud/route": set(),
    "GET card-fraud/rollout": {"rollout"},
    "POST card-fraud/rollout": {"rollout"},
    "POST card-fraud/rollout/pause": set(),
    "POST card-fraud/rollout/resume": set(),
    "POST card-fraud/rollout/abort": set(),
    "POST card-fraud/rollout/decision": set(),
    "GET card-fraud/routes": set(),
    "POST card-fraud/shadows": set(),
    "POST card-fraud/shadows/remove": set(),
    "GET card-fraud/experiment": set(),
    "POST card-fraud/experiment/start": set(),
    "POST card-fraud/experiment/stop": set(),
    "POST card-fraud/experiment/promote": set(),
    "GET card-fraud/at": set(),
    "GET card-fraud/history": {"rollout"},
}
"""Every request of the registry's API, and the roles that may make it."""


def test_every_request_of_the_registrys_api_is_known_here() -> None:
    asked = {request.replace("card-fraud/", "").replace("/3", "/{number}") for request in REGISTRY}
    assert asked == {f"{each.method} {each.path}" for each in OPERATIONS}


@pytest.mark.parametrize("stage", ON_AWS)
def test_a_models_workflow_makes_the_requests_of_its_step_and_no_other(
    account: Callable[..., tuple[Template, Path]], stage: str
) -> None:
    found = roles(account(stage)[0])
    for request, steps in REGISTRY.items():
        method, path = request.split(" ")
        for asked in (stage, "elsewhere"):
            arn = f"arn:aws:execute-api:eu-central-1:111122223333:a1b2/{asked}/{method}/v1/registry/{path}"
            allowed = {
                step
                for step in ("gate", "register", "rollout")
                if may(found[f"quicksilver-{stage}-{step}"], "execute-api:Invoke", arn)
            }
            assert allowed == (steps if asked == stage else set()), request


@pytest.mark.parametrize("stage", ON_AWS)
def test_what_people_decide_is_denied_to_every_models_workflow_whatever_it_is_given(
    account: Callable[..., tuple[Template, Path]], stage: str
) -> None:
    found = roles(account(stage)[0])
    for step in ("gate", "register", "rollout"):
        role = found[f"quicksilver-{stage}-{step}"]
        for verb in ("approve", "override", "reject", "retire"):
            arn = f"arn:aws:execute-api:eu-central-1:111122223333:a1/{stage}/POST/v1/registry/card-fraud/models/3/{verb}"
            assert any(fnmatchcase(arn, resource) for _, resource in grants(role, "Deny")), (step, verb)


@pytest.mark.parametrize("stage", ON_AWS)
def test_a_models_workflow_reads_and_writes_the_stores_of_its_step(
    account: Callable[..., tuple[Template, Path]], stage: str, synthesized: Callable[[str], Synthesized]
) -> None:
    found = roles(account(stage)[0])
    data = synthesized(stage)
    # Named by CloudFormation: by stack, logical id and a suffix, in lower case for a bucket.
    models, bucket = data.named("AWS::S3::Bucket", "Models", "data")
    rollup, table = data.named("AWS::DynamoDB::Table", "Rollup", "data")
    assert "BucketName" not in bucket["Properties"]
    assert "TableName" not in table["Properties"]
    object_arn = f"arn:aws:s3:::quicksilver-{stage}-data-{models.lower()}-x1/packages/ab/model.txt"
    evidence = object_arn.replace("packages", "evidence")
    table_arn = f"arn:aws:dynamodb:eu-central-1:111122223333:table/quicksilver-{stage}-data-{rollup}-X1"
    stores = {
        step: {
            (action, arn)
            for action in (
                "s3:GetObject",
                "s3:PutObject",
                "s3:DeleteObject",
                "dynamodb:GetItem",
                "dynamodb:Query",
                "dynamodb:PutItem",
            )
            for arn in (object_arn, evidence, table_arn)
            if may(found[f"quicksilver-{stage}-{step}"], action, arn)
        }
        for step in ("gate", "register", "rollout")
    }
    assert stores == {
        "gate": {("s3:GetObject", object_arn)},
        "register": {("s3:PutObject", object_arn)},
        "rollout": {("dynamodb:GetItem", table_arn), ("dynamodb:Query", table_arn)},
    }


@pytest.mark.parametrize("stage", ON_AWS)
def test_a_models_workflow_uses_the_keys_of_its_stage_and_for_its_store(
    account: Callable[..., tuple[Template, Path]], stage: str, synthesized: Callable[[str], Synthesized]
) -> None:
    aliases = {
        item["Properties"]["AliasName"] for item in synthesized(stage).of_type("AWS::KMS::Alias").values()
    }
    used = {}
    for step in ("gate", "register", "rollout"):
        (statement,) = (
            item
            for item in roles(account(stage)[0])[f"quicksilver-{stage}-{step}"]["statements"]
            if listed(item["Action"])[0].startswith("kms:")
        )
        alias = statement["Condition"]["ForAnyValue:StringLike"]["kms:ResourceAliases"]
        assert alias in aliases
        through = written(statement["Condition"]["StringEquals"]["kms:ViaService"])
        used[step] = (statement["Action"], alias.rpartition("/")[2], through)
    assert used == {
        "gate": ("kms:Decrypt", "models", "s3.eu-central-1.amazonaws.com"),
        "register": ("kms:GenerateDataKey", "models", "s3.eu-central-1.amazonaws.com"),
        "rollout": ("kms:Decrypt", "predictions", "dynamodb.eu-central-1.amazonaws.com"),
    }


# -- the template --


@pytest.mark.parametrize("stages", [("prod",), ("dev", "staging")])
def test_the_checks_of_every_stage_find_nothing(
    account: Callable[..., tuple[Template, Path]], stages: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    _, folder = account(*stages)
    report = json.loads((folder / "validation-report.json").read_text())
    assert [item for plugin in report["pluginReports"] for item in plugin["violations"]] == []
    (file,) = folder.glob("*.template.json")
    matches = Runner(ConfigMixIn(["--template", str(file)])).run()
    assert [f"{match.rule.id} {match.message}" for match in matches] == []


def test_it_asks_aws_nothing_at_synth(account: Callable[..., tuple[Template, Path]]) -> None:
    _, folder = account("prod")
    assert "missing" not in json.loads((folder / "manifest.json").read_text())


# -- what is asked for --


def asked(**given: object) -> Delivery | None:
    return load_delivery(given.get)


def test_without_its_context_there_is_no_delivery() -> None:
    assert asked(stage="dev") is None


def test_models_come_from_the_same_repository_unless_another_is_named() -> None:
    same = asked(delivery="acme/quicksilver", delivery_stages="dev,staging")
    other = asked(delivery="acme/quicksilver", delivery_stages="prod", delivery_models="acme@7/models@42")
    assert same == delivery("dev", "staging", models_repository="acme/quicksilver")
    assert other == delivery("prod", models_repository="acme@7/models@42")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"delivery": "nonsense"}, "-c delivery=nonsense is no repository"),
        ({"delivery": "acme/*"}, "-c delivery=acme/* is no repository"),
        ({"delivery": "acme/x:ref"}, "-c delivery=acme/x:ref is no repository"),
        ({"delivery": "acme@7/x"}, "-c delivery=acme@7/x is no repository"),
        ({"delivery": "acme/x@9"}, "-c delivery=acme/x@9 is no repository"),
        ({"delivery": "acme/.."}, "-c delivery=acme/.. is no repository"),
        ({"delivery": True}, "-c delivery must be text, not True"),
        ({"delivery_models": "models"}, "-c delivery_models=models is no repository"),
        ({"stage": "dev"}, "Name a stage or -c delivery, not both"),
        (
            {"delivery_stages": None},
            "Name the stages that this account holds: -c delivery_stages=dev,staging",
        ),
        (
            {"delivery_stages": "dev,local"},
            "-c delivery_stages=dev,local must name the stages of this account",
        ),
        ({"delivery_stages": "dev,dev"}, "-c delivery_stages=dev,dev must name the stages of this account"),
        ({"delivery_stages": "dev,"}, "-c delivery_stages=dev, must name the stages of this account"),
        ({"delivery_stages": "dev,prod"}, "Stage prod can share its account with no other stage"),
        ({"delivery_provider": "github"}, "-c delivery_provider=github is no ARN of an OIDC provider"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_one_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        asked(**({"delivery": "acme/quicksilver", "delivery_stages": "dev"} | given))
    assert str(refused.value).startswith(sentence)
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


def test_the_app_says_it_without_a_traceback(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=os.environ
        | {
            "CDK_CONTEXT_JSON": json.dumps({"delivery": "nonsense", "delivery_stages": "dev"}),
            "CDK_OUTDIR": str(tmp_path),
            "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ["PATH"]]),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("quicksilver: -c delivery=nonsense is no repository")
    assert run.stderr.count("\n") == 1
