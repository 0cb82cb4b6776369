"""What must outlive everything: kept, encrypted under our keys, and closed to the outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.package import MANIFEST
from tests.contract.tables import (
    ANNOUNCEMENTS_KEYS,
    FEATURES_KEYS,
    IDEMPOTENCY_KEYS,
    REGISTRY_KEYS,
    ROLLUP_KEYS,
)
from tests.infrastructure.conftest import Synthesized
from tests.infrastructure.permissions import SERVICES, Templates

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
    protected = {
        name[:-8]
        for name, table in every_stage.of_type("AWS::DynamoDB::Table").items()
        if table["Properties"].get("DeletionProtectionEnabled")
    }
    assert protected == (set() if every_stage.stage.emulated else {"Registry"})


def test_tables_are_keyed_as_the_adapters_expect_and_can_be_restored(every_stage: Synthesized) -> None:
    schemas = {}
    for name, table in every_stage.of_type("AWS::DynamoDB::Table").items():
        properties = table["Properties"]
        schemas[name[:-8]] = tuple((key["AttributeName"], key["KeyType"]) for key in properties["KeySchema"])
        assert {item["AttributeType"] for item in properties["AttributeDefinitions"]} == {"S"}
        assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert schemas == {
        "Announcements": ANNOUNCEMENTS_KEYS,
        "Features": FEATURES_KEYS,
        "Idempotency": IDEMPOTENCY_KEYS,
        "Registry": REGISTRY_KEYS,
        "Rollup": ROLLUP_KEYS,
    }


def test_only_answers_under_idempotency_keys_and_counts_expire(every_stage: Synthesized) -> None:
    expiring = {
        re.sub("[0-9A-F]{8}$", "", name): table["Properties"]["TimeToLiveSpecification"]
        for name, table in every_stage.of_type("AWS::DynamoDB::Table").items()
        if "TimeToLiveSpecification" in table["Properties"]
    }
    expires = {"AttributeName": "expires_at", "Enabled": True}
    assert expiring == {"Idempotency": expires, "Rollup": expires}


def test_each_class_of_data_has_a_key_of_its_own_that_rotates(every_stage: Synthesized) -> None:
    keys = {
        name: key
        for name, key in every_stage.of_type("AWS::KMS::Key").items()
        if "KeySpec" not in key["Properties"]
    }
    assert len(keys) == 3
    assert all(key["Properties"]["EnableKeyRotation"] for key in keys.values())

    used = {
        re.sub("[0-9A-F]{8}$", "", name): key_of(table["Properties"]["SSESpecification"]["KMSMasterKeyId"])
        for name, table in every_stage.of_type("AWS::DynamoDB::Table").items()
    }
    (stream,) = every_stage.of_type("AWS::Kinesis::Stream").values()
    predictions = key_of(stream["Properties"]["StreamEncryption"]["KeyId"])
    assert {used["Features"], used["Registry"], predictions} == set(keys)
    # Answers are predictions and counts are of them, and both are kept like them.
    assert used["Idempotency"] == used["Rollup"] == predictions


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
    assert len(logged) == len(buckets) - 1, "all but the one of access logs"
    for properties in logged:
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


def test_no_version_of_a_model_ever_expires(every_stage: Synthesized) -> None:
    for rule in models_bucket(every_stage)["LifecycleConfiguration"]["Rules"]:
        assert not [word for word in rule if "Expiration" in word]


def test_logs_may_use_the_predictions_key_for_this_stage_only(every_stage: Synthesized) -> None:
    statements = [
        statement
        for key in every_stage.of_type("AWS::KMS::Key").values()
        for statement in key["Properties"]["KeyPolicy"]["Statement"]
        if statement["Principal"].get("Service", "cloudwatch.amazonaws.com") != "cloudwatch.amazonaws.com"
    ]
    logs, delivery = statements
    # What a state machine under this key logs is encrypted until the delivery has it.
    assert delivery["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
    assert delivery["Action"] == "kms:Decrypt"
    assert delivery["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    groups = logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    stage = every_stage.stage.name
    assert [group["Fn::Join"][1][-1].rpartition(":log-group:")[2] for group in groups] == [
        f"quicksilver-{stage}-*",
        f"aws-waf-logs-quicksilver-{stage}-*",
    ]


# --- approvals are signed, artefacts written once ---------------------------------------------------------------


def signing_key(synthesized: Synthesized) -> tuple[str, Mapping[str, Any]]:
    ((name, key),) = [
        (name, key["Properties"])
        for name, key in synthesized.of_type("AWS::KMS::Key").items()
        if "KeySpec" in key["Properties"]
    ]
    return name, key


def test_one_key_pair_signs_approvals_and_is_found_by_its_alias(every_stage: Synthesized) -> None:
    name, key = signing_key(every_stage)
    assert (key["KeySpec"], key["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
    aliases = {
        alias["Properties"]["AliasName"]: key_of(alias["Properties"]["TargetKeyId"])
        for alias in every_stage.of_type("AWS::KMS::Alias").values()
    }
    assert aliases[f"alias/quicksilver/{every_stage.stage.name}/approvals"] == name
    assert every_stage.data["Outputs"]["SigningKey"]["Value"] == {"Fn::GetAtt": [name, "Arn"]}


def excepted_role(denial: Mapping[str, Any]) -> list[Any]:
    """The end of the one role's ARN to which a denial for everyone does not apply."""
    assert (denial["Effect"], denial["Principal"]) == ("Deny", {"AWS": "*"})
    excepted: list[Any] = denial["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]["Fn::Join"][1]
    return excepted[-2:]


def registry_role(synthesized: Synthesized) -> list[Any]:
    """The end of the ARN of the role that the registry function has."""
    _, function = synthesized.named("AWS::Lambda::Function", "RegistryHandler")
    role = synthesized.resources[function["Properties"]["Role"]["Fn::GetAtt"][0]]
    prefix, region = role["Properties"]["RoleName"]["Fn::Join"][1]
    return [f":role/{prefix}", region]


def test_nobody_but_the_registry_function_may_sign_an_administrator_neither(every_stage: Synthesized) -> None:
    _, key = signing_key(every_stage)
    (denial,) = [item for item in key["KeyPolicy"]["Statement"] if item["Effect"] == "Deny"]
    assert denial["Action"] == "kms:Sign"
    assert excepted_role(denial) == registry_role(every_stage)


def test_nobody_but_the_registry_function_may_write_the_registry(every_stage: Synthesized) -> None:
    _, registry = every_stage.named("AWS::DynamoDB::Table", "Registry")
    (denial,) = registry["Properties"]["ResourcePolicy"]["PolicyDocument"]["Statement"]
    assert {
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:BatchWriteItem",
    } <= set(denial["Action"])
    assert excepted_role(denial) == registry_role(every_stage)


def models_policy(synthesized: Synthesized) -> dict[str, Mapping[str, Any]]:
    """The named statements of the models bucket's policy, by name."""
    (statements,) = [
        policy["Properties"]["PolicyDocument"]["Statement"]
        for policy in synthesized.of_type("AWS::S3::BucketPolicy").values()
        if policy["Properties"]["Bucket"]["Ref"].startswith("Models")
    ]
    return {item["Sid"]: item for item in statements if "Sid" in item}


def test_packages_and_evidence_are_written_once_and_never_deleted_by_anyone(every_stage: Synthesized) -> None:
    policy = models_policy(every_stage)
    assert {name: (item["Action"], item.get("Condition")) for name, item in policy.items()} == {
        "DenyDelete": ("s3:DeleteObject*", None),
        "DenyOverwrite": ("s3:PutObject", {"Null": {"s3:if-none-match": "true"}}),
        "DenyUnlock": ("s3:BypassGovernanceRetention", None),
    }
    for item in policy.values():
        assert (item["Effect"], item["Principal"]) == ("Deny", {"AWS": "*"})
        assert [part["Fn::Join"][1][-1] for part in item["Resource"]] == ["/evidence/*", "/packages/*"]


def test_the_policy_covers_every_object_that_the_adapter_writes(every_stage: Synthesized) -> None:
    written: list[dict[str, Any]] = []
    client = SimpleNamespace(put_object=lambda **put: written.append(put))
    store = S3ArtifactStore(client, "models")
    store.put("a" * 64, {MANIFEST: b"{}", "model.txt": b"tree"})
    store.put_evidence("b" * 64, b"{}")
    covered = tuple(
        part["Fn::Join"][1][-1].strip("/*") + "/"
        for part in models_policy(every_stage)["DenyOverwrite"]["Resource"]
    )
    assert len(written) == 3
    for put in written:
        assert put["Key"].startswith(covered)
        assert put["IfNoneMatch"] == "*"


def models_bucket(synthesized: Synthesized) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        bucket["Properties"]
        for name, bucket in synthesized.of_type("AWS::S3::Bucket").items()
        if name.startswith("Models")
    )
    return found


def test_artefacts_are_locked_for_the_stages_days_on_aws(aws_stage: Synthesized) -> None:
    bucket = models_bucket(aws_stage)
    assert bucket["ObjectLockEnabled"] is True
    assert bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {
        "Mode": "GOVERNANCE",
        "Days": aws_stage.stage.artefact_lock_days,
    }


def test_production_locks_artefacts_and_archive_for_seven_years(
    synthesized: Callable[[str], Synthesized],
) -> None:
    stage = synthesized("prod").stage
    assert min(stage.artefact_lock_days, stage.archive_lock_days) >= 7 * 365


def test_nothing_is_locked_on_an_emulator(local: Synthesized) -> None:
    for bucket in local.of_type("AWS::S3::Bucket").values():
        assert "ObjectLockConfiguration" not in bucket["Properties"]


def test_the_archive_is_locked_for_the_stages_days_on_aws(aws_stage: Synthesized) -> None:
    _, archive = aws_stage.named("AWS::S3::Bucket", "Archive")
    assert archive["Properties"]["ObjectLockEnabled"] is True
    assert archive["Properties"]["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {
        "Mode": "GOVERNANCE",
        "Days": aws_stage.stage.archive_lock_days,
    }


def test_what_was_recorded_is_hidden_by_nobody_and_unlocked_by_a_change_of_policy_alone(
    every_stage: Synthesized,
) -> None:
    archive, _ = every_stage.named("AWS::S3::Bucket", "Archive")
    (statements,) = [
        policy["Properties"]["PolicyDocument"]["Statement"]
        for policy in every_stage.of_type("AWS::S3::BucketPolicy").values()
        if policy["Properties"]["Bucket"]["Ref"] == archive
    ]
    denied = {item["Sid"]: item for item in statements if "Sid" in item}
    assert {name: item["Action"] for name, item in denied.items()} == {
        "DenyDelete": "s3:DeleteObject*",
        "DenyUnlock": "s3:BypassGovernanceRetention",
    }
    assert all((item["Effect"], item["Principal"]) == ("Deny", {"AWS": "*"}) for item in denied.values())
    hidden = [part["Fn::Join"][1][-1] for part in denied["DenyDelete"]["Resource"]]
    assert hidden == ["/contracts/*", "/outcomes/*", "/predictions/*"]


# --- keys -------------------------------------------------------------------------------------------------------

OPENED_BY = {
    "FeaturesKey": {"dynamodb"},
    "ModelsKey": {"dynamodb", "s3", "sns"},
    "PredictionsKey": {"athena", "dynamodb", "kinesis", "s3", "sagemaker", "states"},
}


def test_the_key_of_a_class_opens_what_its_stores_hold_and_nothing_by_itself(
    every_stage: Synthesized,
) -> None:
    opened = {}
    for name, key in every_stage.of_type("AWS::KMS::Key").items():
        for statement in key["Properties"]["KeyPolicy"]["Statement"]:
            if statement.get("Sid") == "ByTheStoresOfThisClassAlone":
                assert (statement["Effect"], statement["Principal"]) == ("Deny", {"AWS": "*"})
                assert set(statement["Action"]) == {
                    "kms:Decrypt",
                    "kms:Encrypt",
                    "kms:GenerateDataKey*",
                    "kms:ReEncrypt*",
                }
                condition = statement["Condition"]
                via = condition["StringNotEquals"]["kms:ViaService"]
                hosts = via if isinstance(via, list) else [via]
                opened[name[:-8]] = {host["Fn::Join"][1][0].rstrip(".") for host in hosts}
                assert condition["Bool"] == {"aws:PrincipalIsAWSService": "false"}
                assert condition["Null"] == {"kms:EncryptionContext:aws:states:stateMachineArn": "true"}
    assert opened == OPENED_BY


def test_a_key_is_opened_by_every_store_that_is_encrypted_with_it(every_stage: Synthesized) -> None:
    templates = Templates(every_stage)
    for name, resource in every_stage.resources.items():
        key = templates.key_of(name)
        if key and resource["Type"] in SERVICES:
            assert SERVICES[resource["Type"]] in OPENED_BY[key[:-8]], name


def test_the_names_everything_is_found_by_are_outputs(every_stage: Synthesized) -> None:
    assert {
        "FeaturesTable",
        "RegistryTable",
        "IdempotencyTable",
        "PredictionsStream",
        "ModelsBucket",
        "ArchiveBucket",
    } <= set(every_stage.data["Outputs"])
    assert {"ApiUrl", "ApiId", "ApiKeyId"} <= set(every_stage.scoring["Outputs"])
