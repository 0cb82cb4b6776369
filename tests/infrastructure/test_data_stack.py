"""What must outlive everything: kept, encrypted under our keys, and closed to the outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.infrastructure.conftest import Synthesized

STORES = ("AWS::DynamoDB::Table", "AWS::Kinesis::Stream", "AWS::S3::Bucket", "AWS::KMS::Key")


def key_of(property_value: Mapping[str, Any]) -> str:
    """The logical id of the key that an ARN property refers to."""
    name: str = property_value["Fn::GetAtt"][0]
    return name


def test_nothing_is_deleted_with_the_stack_outside_an_emulator(aws_stage: Synthesized) -> None:
    for kind in STORES:
        for name, resource in aws_stage.of_type(kind).items():
            assert resource["DeletionPolicy"] == "Retain", name
            assert resource["UpdateReplacePolicy"] == "Retain", name


def test_everything_goes_with_the_stack_on_an_emulator(local: Synthesized) -> None:
    for kind in STORES:
        for name, resource in local.of_type(kind).items():
            assert resource["DeletionPolicy"] == "Delete", name


def test_the_data_stack_is_protected_from_deletion_outside_an_emulator(every_stage: Synthesized) -> None:
    manifest = (every_stage.folder / "manifest.json").read_text()
    assert ('"terminationProtection": true' in manifest) is not every_stage.stage.emulated


def test_only_the_registry_refuses_to_be_deleted_by_hand(every_stage: Synthesized) -> None:
    tables = every_stage.of_type("AWS::DynamoDB::Table").values()
    protected = [table["Properties"]["DeletionProtectionEnabled"] for table in tables if has_sort_key(table)]
    assert protected == [not every_stage.stage.emulated]


def has_sort_key(table: Mapping[str, Any]) -> bool:
    return len(table["Properties"]["KeySchema"]) == 2


def test_tables_are_keyed_as_the_adapters_expect_and_can_be_restored(every_stage: Synthesized) -> None:
    schemas = []
    for table in every_stage.of_type("AWS::DynamoDB::Table").values():
        properties = table["Properties"]
        schemas.append([key["AttributeName"] for key in properties["KeySchema"]])
        assert {item["AttributeType"] for item in properties["AttributeDefinitions"]} == {"S"}
        assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert "TimeToLiveSpecification" not in properties
    assert sorted(schemas) == [["pk"], ["pk", "sk"]]


def test_each_class_of_data_has_a_key_of_its_own_that_rotates(every_stage: Synthesized) -> None:
    keys = every_stage.of_type("AWS::KMS::Key")
    assert len(keys) == 3
    assert all(key["Properties"]["EnableKeyRotation"] for key in keys.values())

    tables = every_stage.of_type("AWS::DynamoDB::Table").values()
    features, registry = sorted(tables, key=has_sort_key)
    (stream,) = every_stage.of_type("AWS::Kinesis::Stream").values()
    used = [
        key_of(features["Properties"]["SSESpecification"]["KMSMasterKeyId"]),
        key_of(registry["Properties"]["SSESpecification"]["KMSMasterKeyId"]),
        key_of(stream["Properties"]["StreamEncryption"]["KeyId"]),
    ]
    assert set(used) == set(keys)


def test_the_stream_scales_by_itself_on_aws_and_is_one_shard_on_an_emulator(every_stage: Synthesized) -> None:
    (stream,) = every_stage.of_type("AWS::Kinesis::Stream").values()
    mode = stream["Properties"]["StreamModeDetails"]["StreamMode"]
    assert (mode, stream["Properties"].get("ShardCount")) == (
        ("PROVISIONED", 1) if every_stage.stage.emulated else ("ON_DEMAND", None)
    )


def test_buckets_are_private_and_refuse_plain_http(every_stage: Synthesized) -> None:
    buckets = every_stage.of_type("AWS::S3::Bucket")
    for name, bucket in buckets.items():
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}, name
    refusing = {
        policy["Properties"]["Bucket"]["Ref"]
        for policy in every_stage.of_type("AWS::S3::BucketPolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        and statement["Action"] == "s3:*"
    }
    assert refusing == set(buckets)


def test_models_and_archive_are_versioned_logged_and_under_our_keys(every_stage: Synthesized) -> None:
    buckets = every_stage.of_type("AWS::S3::Bucket").values()
    logged = [bucket["Properties"] for bucket in buckets if "LoggingConfiguration" in bucket["Properties"]]
    assert len(logged) == 2
    assert len(buckets) == 3
    for properties in logged:
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


def test_no_version_of_a_model_ever_expires(every_stage: Synthesized) -> None:
    models = next(
        bucket["Properties"]
        for name, bucket in every_stage.of_type("AWS::S3::Bucket").items()
        if name.startswith("Models")
    )
    for rule in models["LifecycleConfiguration"]["Rules"]:
        assert not [word for word in rule if "Expiration" in word]


def test_logs_may_use_the_predictions_key_for_this_stage_only(every_stage: Synthesized) -> None:
    statements = [
        statement
        for key in every_stage.of_type("AWS::KMS::Key").values()
        for statement in key["Properties"]["KeyPolicy"]["Statement"]
        if "Service" in statement["Principal"]
    ]
    (statement,) = statements
    groups = statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    assert groups["Fn::Join"][1][-1].endswith(f":log-group:quicksilver-{every_stage.stage.name}-*")


def test_the_names_everything_is_found_by_are_outputs(every_stage: Synthesized) -> None:
    assert {"FeaturesTable", "RegistryTable", "PredictionsStream", "ModelsBucket", "ArchiveBucket"} <= set(
        every_stage.data["Outputs"]
    )
    assert {"ApiUrl", "ApiId", "ApiKeyId"} <= set(every_stage.scoring["Outputs"])
