"""A deployed stage as AWS tells of it: read under moto, and what moto lacks from answers as AWS documents them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from quicksilver.aws.stage_reader import AwsStageReader
from quicksilver.errors import NotFound, Unavailable
from quicksilver.stage_state import KeyState, ProvisionedConcurrency, Resource


@pytest.fixture
def aws() -> Iterator[None]:
    """A table, a bucket, a queue, a key and a rule, as bare as AWS makes them."""
    with mock_aws():
        client("dynamodb").create_table(
            TableName="registry",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client("s3").create_bucket(Bucket="models")
        client("sqs").create_queue(QueueName="given-up")
        client("events").put_rule(Name="every-minute", ScheduleExpression="rate(1 minute)")
        yield


def client(service: str) -> Any:
    return boto3.client(service, "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


@pytest.fixture
def reader(aws: None) -> AwsStageReader:
    return AwsStageReader("prod", client, emulated=False)


def test_a_table_that_cannot_be_restored_is_told_so_until_it_can(reader: AwsStageReader) -> None:
    assert reader.table("registry").restorable is False
    client("dynamodb").update_continuous_backups(
        TableName="registry", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    client("dynamodb").update_time_to_live(
        TableName="registry", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
    )
    seen = reader.table("registry")
    assert (seen.status, seen.restorable, seen.expires_by) == ("ACTIVE", True, "expires_at")


def test_a_table_without_a_resource_policy_is_seen(reader: AwsStageReader) -> None:
    assert reader.table("registry").policed is False
    dynamodb = client("dynamodb")
    arn = dynamodb.describe_table(TableName="registry")["Table"]["TableArn"]
    dynamodb.put_resource_policy(
        ResourceArn=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": []})
    )
    assert reader.table("registry").policed is True


def test_what_an_emulator_does_not_tell_is_none(aws: None) -> None:
    emulated = AwsStageReader("prod", client, emulated=True)
    assert (emulated.table("registry").restorable, emulated.table("registry").expires_by) == (None, None)
    assert emulated.bucket("models").encryption is None
    assert emulated.alarms() is None


def test_a_bucket_that_anybody_changed_is_seen(reader: AwsStageReader) -> None:
    s3 = client("s3")
    seen = reader.bucket("models")
    assert (seen.versioned, seen.private, seen.lock) == (False, False, "")
    s3.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
    closed = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    s3.put_public_access_block(Bucket="models", PublicAccessBlockConfiguration=closed)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket="models", ServerSideEncryptionConfiguration={"Rules": [rule]})
    seen = reader.bucket("models")
    assert (seen.versioned, seen.private, seen.encryption) == (True, True, "aws:kms")
    s3.put_public_access_block(
        Bucket="models", PublicAccessBlockConfiguration={**closed, "BlockPublicPolicy": False}
    )
    assert not reader.bucket("models").private


def test_the_lock_of_a_bucket_is_its_default_retention(reader: AwsStageReader) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    assert reader.bucket("locked").lock == ""
    retention = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}
    s3.put_object_lock_configuration(
        Bucket="locked", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
    )
    assert reader.bucket("locked").lock == "30 days (governance)"


def test_objects_and_folders_are_listed_by_name(reader: AwsStageReader) -> None:
    for key in ("failed/a/1", "failed/a/2", "failed/b/1", "other"):
        client("s3").put_object(Bucket="models", Key=key)
    assert reader.folders("models", "failed/") == ["failed/a/", "failed/b/"]
    assert [item.key for item in reader.objects("models", "failed/a/", after="failed/a/1")] == ["failed/a/2"]
    assert reader.objects("models", "nothing/") == []


def test_messages_that_are_being_looked_at_count_too(reader: AwsStageReader) -> None:
    sqs = client("sqs")
    queue = sqs.get_queue_url(QueueName="given-up")["QueueUrl"]
    for body in ("1", "2"):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1)
    assert reader.messages(queue) == 2


def test_a_key_that_is_to_be_deleted_is_seen(reader: AwsStageReader) -> None:
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    assert reader.key(key) == KeyState("Enabled", False)
    client("kms").enable_key_rotation(KeyId=key)
    assert reader.key(key) == KeyState("Enabled", True)
    client("kms").schedule_key_deletion(KeyId=key)
    assert reader.key(key) == KeyState("PendingDeletion", False)


def test_a_rule_that_is_off_is_seen(reader: AwsStageReader) -> None:
    assert reader.rule("every-minute") == "ENABLED"
    client("events").disable_rule(Name="every-minute")
    assert reader.rule("every-minute") == "DISABLED"


def test_what_is_gone_is_not_found(reader: AwsStageReader) -> None:
    for ask in (
        lambda: reader.table("gone"),
        lambda: reader.bucket("gone"),
        lambda: reader.function("gone"),
        lambda: reader.alias("gone", "live"),
        lambda: reader.consumer("11111111-1111-1111-1111-111111111111"),
        lambda: reader.stream("gone"),
        lambda: reader.delivery("gone"),
        lambda: reader.rule("gone"),
        lambda: reader.key("11111111-1111-1111-1111-111111111111"),
        lambda: reader.messages("https://sqs.us-east-1.amazonaws.com/123456789012/gone"),
    ):
        with pytest.raises(NotFound):
            ask()


def stubbed(service: str) -> tuple[AwsStageReader, Stubber]:
    """A reader of a stage without resources, and what answers it."""
    client = boto3.client(service, "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    return AwsStageReader("prod", lambda _: client, emulated=False), Stubber(client)


def described(name: str, status: str) -> dict[str, Any]:
    return {
        "Stacks": [
            {"StackName": name, "StackStatus": status, "CreationTime": datetime(2026, 11, 26, tzinfo=UTC)}
        ]
    }


def only_the_first_of(aws: Stubber, stacks: list[str]) -> None:
    """CloudFormation's answers to who asks for every stack of a stage of which one is deployed."""
    aws.add_response("describe_stacks", described(stacks[0], "UPDATE_COMPLETE"), {"StackName": stacks[0]})
    for name in stacks[1:]:
        aws.add_client_error(
            "describe_stacks", "ValidationError", f"Stack with id {name} does not exist", 400
        )


def test_every_stack_is_looked_for_and_what_is_not_there_has_no_status() -> None:
    reader, aws = stubbed("cloudformation")
    names = ["data", "scoring", "control", "monitoring", "operations"]
    only_the_first_of(aws, [f"quicksilver-prod-{name}" for name in names])
    with aws:
        seen = {stack.name.removeprefix("quicksilver-prod-"): stack.status for stack in reader.stacks()}
    assert seen == {"data": "UPDATE_COMPLETE", **dict.fromkeys(names[1:], "")}


def test_a_standby_that_decides_nothing_is_not_asked_for_the_stacks_that_would() -> None:
    reader, aws = stubbed("cloudformation")
    data = described("quicksilver-prod-data", "UPDATE_COMPLETE")
    data["Stacks"][0]["Outputs"] = [{"OutputKey": "OnlyAnswers", "OutputValue": "standby"}]
    aws.add_response("describe_stacks", data, {"StackName": "quicksilver-prod-data"})
    for name in ("quicksilver-prod-scoring", "quicksilver-prod-operations"):
        aws.add_response("describe_stacks", described(name, "UPDATE_COMPLETE"), {"StackName": name})
    with aws:
        names = [stack.name.removeprefix("quicksilver-prod-") for stack in reader.stacks()]
    assert names == ["data", "scoring", "operations"]


def test_a_resource_comes_with_what_its_template_asks_for() -> None:
    reader, aws = stubbed("cloudformation")
    names = [
        f"quicksilver-prod-{name}" for name in ("data", "scoring", "control", "monitoring", "operations")
    ]
    only_the_first_of(aws, names)
    asked = {"DeletionProtectionEnabled": True}
    template = {"Resources": {"Registry4DB9CCA5": {"Type": "AWS::DynamoDB::Table", "Properties": asked}}}
    aws.add_response("get_template", {"TemplateBody": json.dumps(template)}, {"StackName": names[0]})
    item = {
        "LogicalResourceId": "Registry4DB9CCA5",
        "PhysicalResourceId": "registry",
        "ResourceType": "AWS::DynamoDB::Table",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": datetime(2026, 11, 26, tzinfo=UTC),
    }
    aws.add_response("list_stack_resources", {"StackResourceSummaries": [item]}, {"StackName": names[0]})
    with aws:
        (table,) = reader.resources()
    assert table == Resource(names[0], "Registry4DB9CCA5", "AWS::DynamoDB::Table", "registry", asked)
    assert table.id == "Registry"


def test_who_may_not_read_is_told_so() -> None:
    reader, aws = stubbed("dynamodb")
    aws.add_client_error("describe_table", "AccessDeniedException")
    with aws, pytest.raises(Unavailable, match="AccessDeniedException"):
        reader.table("registry")


def test_provisioned_concurrency_is_listed_by_qualifier() -> None:
    reader, aws = stubbed("lambda")
    arn = "arn:aws:lambda:us-east-1:123456789012:function:quicksilver-prod-score-card-fraud"
    aws.add_response("get_alias", {"FunctionVersion": "7"})
    aws.add_response("get_function_configuration", {"State": "Active"})
    item = {
        "RequestedProvisionedConcurrentExecutions": 10,
        "AvailableProvisionedConcurrentExecutions": 4,
        "Status": "IN_PROGRESS",
    }
    aws.add_response(
        "list_provisioned_concurrency_configs",
        {"ProvisionedConcurrencyConfigs": [{"FunctionArn": f"{arn}:7", **item}]},
    )
    with aws:
        seen = reader.alias("quicksilver-prod-score-card-fraud", "live")
    assert (seen.function_version, seen.version_state, seen.weights) == ("7", "Active", {})
    assert seen.provisioned == [ProvisionedConcurrency("7", "IN_PROGRESS", 10, 4)]


def test_an_alias_whose_function_version_is_gone_says_so() -> None:
    reader, aws = stubbed("lambda")
    aws.add_response("get_alias", {"FunctionVersion": "7"})
    aws.add_client_error("get_function_configuration", "ResourceNotFoundException")
    aws.add_response("list_provisioned_concurrency_configs", {"ProvisionedConcurrencyConfigs": []})
    with aws:
        assert reader.alias("quicksilver-prod-score-card-fraud", "live").version_state == ""


def test_alarms_are_read_of_both_kinds() -> None:
    reader, aws = stubbed("cloudwatch")
    alarm = {
        "AlarmName": "quicksilver-prod-a",
        "StateValue": "ALARM",
        "StateUpdatedTimestamp": datetime(2026, 11, 26, tzinfo=UTC),
    }
    aws.add_response(
        "describe_alarms",
        {"MetricAlarms": [alarm], "CompositeAlarms": [{**alarm, "AlarmName": "quicksilver-prod-b"}]},
    )
    with aws:
        seen = reader.alarms()
    assert [(item.name, item.state, item.since) for item in seen or ()] == [
        ("quicksilver-prod-a", "ALARM", "2026-11-26T00:00:00.000Z"),
        ("quicksilver-prod-b", "ALARM", "2026-11-26T00:00:00.000Z"),
    ]


@pytest.mark.parametrize(("deployments", "releasing"), [([], False), (["d-1"], True)])
def test_weights_are_of_a_release_while_a_deployment_is_in_progress(
    deployments: list[str], releasing: bool
) -> None:
    # Given an alias with weights in a stack that has a deployment group
    clients = {
        name: boto3.client(name, "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        for name in ("lambda", "codedeploy", "cloudformation")
    }
    reader = AwsStageReader("prod", clients.__getitem__, emulated=False)
    group = Resource(
        "quicksilver-prod-scoring",
        "Group0001",
        "AWS::CodeDeploy::DeploymentGroup",
        "group",
        {"ApplicationName": {"Ref": "Releases1"}},
    )
    application = Resource(
        "quicksilver-prod-scoring", "Releases1", "AWS::CodeDeploy::Application", "releases", {}
    )
    reader.__dict__["_resources"] = (group, application)
    functions, deploys = Stubber(clients["lambda"]), Stubber(clients["codedeploy"])
    functions.add_response(
        "get_alias",
        {"FunctionVersion": "7", "RoutingConfig": {"AdditionalVersionWeights": {"8": 0.1}}},
    )
    functions.add_response("get_function_configuration", {"State": "Active"})
    functions.add_response("list_provisioned_concurrency_configs", {"ProvisionedConcurrencyConfigs": []})
    deploys.add_response(
        "list_deployments",
        {"deployments": deployments},
        {
            "applicationName": "releases",
            "deploymentGroupName": "group",
            "includeOnlyStatuses": ["Created", "Queued", "InProgress", "Baking", "Ready"],
        },
    )
    with functions, deploys:
        seen = reader.alias("quicksilver-prod-score-card-fraud", "live")
    assert (seen.weights, seen.releasing) == ({"8": 0.1}, releasing)


def test_the_age_of_what_a_consumer_reads_is_the_largest_of_the_last_minutes() -> None:
    lambdas = boto3.client("lambda", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    metrics = boto3.client("cloudwatch", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    reader = AwsStageReader("prod", {"lambda": lambdas, "cloudwatch": metrics}.__getitem__, emulated=False)
    arn = "arn:aws:lambda:us-east-1:123456789012:function:quicksilver-prod-rollup"
    mappings, points = Stubber(lambdas), Stubber(metrics)
    mappings.add_response(
        "get_event_source_mapping", {"FunctionArn": arn, "State": "Enabled", "LastProcessingResult": "OK"}
    )
    points.add_response("get_metric_statistics", {"Datapoints": [{"Maximum": 1_500.0}, {"Maximum": 200.0}]})
    with mappings, points:
        seen = reader.consumer("11111111-1111-1111-1111-111111111111")
    assert (seen.function, seen.iterator_age_ms) == ("quicksilver-prod-rollup", 1_500)
