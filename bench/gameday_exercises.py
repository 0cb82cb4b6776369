"""The exercises of a game day on the local stage: what is broken, by whose words the doctor finds it, and the repair.

Each breaks one thing as people and mistakes do, with AWS's own calls, and repairs it by the commands that the runbook or
docs/recovery.md give. ``repair`` gets what ``inject`` has kept of what was there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from examples.card_fraud.contract import ENDPOINT
from quicksilver.archive import UNDELIVERED_PREFIX
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.package import MODEL

SPARE = "credit-line"
"""The endpoint that nobody calls on a game day, so that losing its alias is nobody's loss."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """``finds`` is the doctor's subject that must fail; ``section`` a heading of the runbook or of docs/recovery.md.

    With ``unfelt``, no caller may notice; without, those may that meet a new environment, which has to load what is gone.
    """

    name: str
    finds: str
    section: str
    inject: Callable[[DeployedStage], Any]
    repair: Callable[[DeployedStage, Any], None]
    unfelt: bool = True


def _model_key(stage: DeployedStage) -> str:
    return f"packages/{stage.registry.current_route(ENDPOINT).champion.package_sha256}/{MODEL}"


def hide_the_package(stage: DeployedStage) -> str:
    answer = stage.client("s3").delete_object(Bucket=stage.outputs["ModelsBucket"], Key=_model_key(stage))
    return str(answer["VersionId"])


def take_back_a_version(stage: DeployedStage, version: str) -> None:
    """Delete the marker, or the altered version, that lies over what was there."""
    bucket, key = stage.outputs["ModelsBucket"], _model_key(stage)
    stage.client("s3").delete_object(Bucket=bucket, Key=key, VersionId=version)


def alter_the_package(stage: DeployedStage) -> str:
    answer = stage.client("s3").put_object(
        Bucket=stage.outputs["ModelsBucket"], Key=_model_key(stage), Body=b"tree\n"
    )
    return str(answer["VersionId"])


def _lose_an_item(stage: DeployedStage, sk: str) -> dict[str, Any]:
    """What was deleted, as it would be found in a table restored to the moment before."""
    answer = stage.client("dynamodb").delete_item(
        TableName=stage.outputs["RegistryTable"],
        Key={"pk": {"S": f"ENDPOINT#{ENDPOINT}"}, "sk": {"S": sk}},
        ReturnValues="ALL_OLD",
    )
    return dict(answer["Attributes"])


def lose_the_route(stage: DeployedStage) -> dict[str, Any]:
    return _lose_an_item(stage, "ROUTE")


def lose_an_entry(stage: DeployedStage) -> dict[str, Any]:
    return _lose_an_item(stage, "HISTORY#0000000002")


def put_the_item_back(stage: DeployedStage, item: dict[str, Any]) -> None:
    stage.client("dynamodb").put_item(TableName=stage.outputs["RegistryTable"], Item=item)


def _mapping(stage: DeployedStage, service: str) -> str:
    found = stage.client("lambda").list_event_source_mappings(FunctionName=stage.function(service))
    return str(found["EventSourceMappings"][0]["UUID"])


def stop_the_rollup(stage: DeployedStage) -> str:
    mapping = _mapping(stage, "rollup")
    stage.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=False)
    return mapping


def start_a_consumer(stage: DeployedStage, mapping: str) -> None:
    stage.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)


def lose_an_alias(stage: DeployedStage) -> str:
    function = stage.function(f"score-{SPARE}")
    client = stage.client("lambda")
    version = client.get_alias(FunctionName=function, Name="live")["FunctionVersion"]
    client.delete_alias(FunctionName=function, Name="live")
    return str(version)


def make_the_alias(stage: DeployedStage, version: str) -> None:
    stage.client("lambda").create_alias(
        FunctionName=stage.function(f"score-{SPARE}"), Name="live", FunctionVersion=version
    )


def _rule(stage: DeployedStage, id: str) -> str:
    return next(resource.name for resource in stage.reader.resources() if resource.id == id)


def stop_the_redelivery(stage: DeployedStage) -> str:
    """With a batch that waits for it: a record that the stream did not take."""
    rule = _rule(stage, "RedeliverEveryMinute")
    stage.client("events").disable_rule(Name=rule)
    record = {
        "prediction_id": "00000000-0000-7000-8000-000000000000",
        "entity_id": "gameday",
        "endpoint": SPARE,
    }
    stage.client("s3").put_object(
        Bucket=stage.outputs["ArchiveBucket"],
        Key=f"{UNDELIVERED_PREFIX}{SPARE}/{record['prediction_id']}.jsonl",
        Body=json.dumps(record).encode() + b"\n",
    )
    return rule


def start_the_redelivery(stage: DeployedStage, rule: str) -> None:
    stage.client("events").enable_rule(Name=rule)
    stage.invoke(stage.function("redeliver"), {})


def _key(stage: DeployedStage, id: str) -> str:
    return next(resource.name for resource in stage.reader.resources() if resource.id == id)


def disable_the_models_key(stage: DeployedStage) -> str:
    key = _key(stage, "ModelsKey")
    stage.client("kms").disable_key(KeyId=key)
    return key


def enable_the_key(stage: DeployedStage, key: str) -> None:
    stage.client("kms").enable_key(KeyId=key)


def give_a_batch_up(stage: DeployedStage) -> str:
    queue = next(
        resource.name for resource in stage.reader.resources() if resource.id == "RollupConsumerGivenUp"
    )
    stage.client("sqs").send_message(QueueUrl=queue, MessageBody="a batch that the rollup gave up")
    return queue


def empty_the_queue(stage: DeployedStage, queue: str) -> None:
    stage.client("sqs").purge_queue(QueueUrl=queue)


def open_the_archive(stage: DeployedStage) -> dict[str, bool]:
    client, bucket = stage.client("s3"), stage.outputs["ArchiveBucket"]
    closed: dict[str, bool] = client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    opened = {**closed, "BlockPublicPolicy": False}
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=opened)
    return closed


def close_the_archive(stage: DeployedStage, closed: dict[str, bool]) -> None:
    stage.client("s3").put_public_access_block(
        Bucket=stage.outputs["ArchiveBucket"], PublicAccessBlockConfiguration=closed
    )


EXERCISES = (
    Exercise(
        "champion's package hidden",
        ENDPOINT,
        "A package",
        hide_the_package,
        take_back_a_version,
        unfelt=False,
    ),
    Exercise(
        "champion's package altered",
        ENDPOINT,
        "A package",
        alter_the_package,
        take_back_a_version,
        unfelt=False,
    ),
    Exercise(
        "current route lost",
        ENDPOINT,
        "Items of the registry",
        lose_the_route,
        put_the_item_back,
        unfelt=False,
    ),
    Exercise("history entry lost", ENDPOINT, "Items of the registry", lose_an_entry, put_the_item_back),
    Exercise(
        "rollup stopped", "consumer RollupConsumerMapping", "A consumer", stop_the_rollup, start_a_consumer
    ),
    Exercise(
        "alias live lost",
        f"alias quicksilver-local-score-{SPARE}:live",
        "An alias",
        lose_an_alias,
        make_the_alias,
    ),
    Exercise(
        "redelivery stopped", "RedeliverEveryMinute", "A schedule", stop_the_redelivery, start_the_redelivery
    ),
    Exercise("models key disabled", "ModelsKey", "A key", disable_the_models_key, enable_the_key),
    Exercise("batch given up", "queue RollupConsumerGivenUp", "A queue", give_a_batch_up, empty_the_queue),
    Exercise("archive opened", "bucket Archive", "A bucket", open_the_archive, close_the_archive),
)
