"""The doctor on the local stage: well as it was deployed, and whatever is broken by hand is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from quicksilver.aws.stage_reader import AwsStageReader
from quicksilver.aws.system import SystemClock
from quicksilver.cli.doctor import ArchiveWatch
from quicksilver.doctor.examination import Round
from quicksilver.doctor.finding import Examination, Health
from quicksilver.errors import Unavailable

if TYPE_CHECKING:
    from tests.local_stack import LocalStack


def examine(stack: LocalStack, **options: Any) -> Examination:
    return Round(stack, stack.reader, stack.probed_api, SystemClock()).examine(**options)


def failures(stack: LocalStack) -> dict[str, str]:
    return {finding.subject: finding.seen for finding in examine(stack).of(Health.FAIL)}


def test_the_stage_as_it_was_deployed_is_well_and_what_the_emulator_does_not_tell_is_not_called_so(
    stack: LocalStack, request_body: dict[str, Any]
) -> None:
    assert stack.score(request_body).status == 200
    seen = examine(stack)
    assert not seen.of(Health.FAIL)
    skipped = {finding.subject for finding in seen.of(Health.SKIPPED)}
    assert {"all", "table Registry", "bucket Models", "consumer RollupConsumerMapping"} <= skipped


def test_a_probe_is_scored_by_the_champion_and_found_in_the_archive(stack: LocalStack) -> None:
    seen = examine(stack, probe=ArchiveWatch(stack, SystemClock()))
    ok = {finding.subject: finding.seen for finding in seen.of(Health.OK)}
    champion = stack.registry.current_route("card-fraud").champion.model
    assert champion in ok["card-fraud scores"]
    assert "card-fraud is archived" in ok


@contextmanager
def without_alias(stack: LocalStack) -> Iterator[str]:
    client, function = stack.client("lambda"), "quicksilver-local-score-credit-line"
    version = client.get_alias(FunctionName=function, Name="live")["FunctionVersion"]
    client.delete_alias(FunctionName=function, Name="live")
    try:
        yield "alias quicksilver-local-score-credit-line:live"
    finally:
        client.create_alias(FunctionName=function, Name="live", FunctionVersion=version)


@contextmanager
def with_a_mapping_off(stack: LocalStack) -> Iterator[str]:
    client, function = stack.client("lambda"), "quicksilver-local-shadow"
    (mapping,) = client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield "consumer ShadowConsumerMapping"
    finally:
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextmanager
def with_a_message_given_up(stack: LocalStack) -> Iterator[str]:
    client = stack.client("sqs")
    (queue,) = (
        resource.name
        for resource in stack.reader.resources()
        if resource.kind == "AWS::SQS::Queue" and resource.id == "RollupConsumerGivenUp"
    )
    client.send_message(QueueUrl=queue, MessageBody="a batch")
    try:
        yield "queue RollupConsumerGivenUp"
    finally:
        client.purge_queue(QueueUrl=queue)


@contextmanager
def with_a_schedule_off(stack: LocalStack) -> Iterator[str]:
    (rule,) = (resource.name for resource in stack.reader.resources() if resource.id == "PerformanceEveryDay")
    client = stack.client("events")
    client.disable_rule(Name=rule)
    try:
        yield "PerformanceEveryDay"
    finally:
        client.enable_rule(Name=rule)


@contextmanager
def with_a_spoilt_environment(stack: LocalStack) -> Iterator[str]:
    client, function = stack.client("lambda"), "quicksilver-local-train"
    told = stack.environment_of(function)
    spoilt = {**told, "QUICKSILVER_MODELS_BUCKET": ""}
    client.update_function_configuration(FunctionName=function, Environment={"Variables": spoilt})
    try:
        yield "environment of train"
    finally:
        client.update_function_configuration(FunctionName=function, Environment={"Variables": told})


@contextmanager
def with_an_open_bucket(stack: LocalStack) -> Iterator[str]:
    client, bucket = stack.client("s3"), stack.outputs["ArchiveBucket"]
    closed = client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    client.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={**closed, "BlockPublicPolicy": False}
    )
    try:
        yield "bucket Archive"
    finally:
        client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed)


@pytest.mark.parametrize(
    "broken",
    [
        without_alias,
        with_a_mapping_off,
        with_a_message_given_up,
        with_a_schedule_off,
        with_a_spoilt_environment,
        with_an_open_bucket,
    ],
)
def test_what_is_broken_by_hand_is_found_and_nothing_else(
    stack: LocalStack, broken: Callable[[LocalStack], Any]
) -> None:
    with broken(stack) as subject:
        found = failures(stack)
        others = {name for name in found if not name.startswith(("credit-line", "API of credit-line"))}
        assert others == {subject}, found
    assert failures(stack) == {}


def test_a_stage_that_cannot_be_reached_is_one_sentence(stack: LocalStack) -> None:
    def nowhere(service: str) -> Any:
        return stack.session.client(service, endpoint_url="http://127.0.0.1:9")

    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        AwsStageReader("local", nowhere, emulated=True).stacks()
