"""Failures injected into the deployed stage: the answer still leaves, or says plainly that it cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from quicksilver.package import MODEL
from tests.conftest import contract_content, train
from tests.local_stack import eventually

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.local_stack import LocalStack

Body = dict[str, Any]


def counted(logs: str, metric: str) -> int:
    """The sum of an embedded metric over a log."""
    lines = (json.loads(line) for line in logs.splitlines() if line.startswith('{"_aws"'))
    return int(sum(sum(line.get(metric, ())) for line in lines))


def test_a_model_with_a_flipped_byte_is_refused_at_load_and_the_champion_before_answers(
    stack: LocalStack, request_body: Body
) -> None:
    from quicksilver.contract import Contract

    def answered(model: str) -> Any:
        answer = stack.score(request_body, endpoint="credit-line")
        return answer.status == 200 and answer.content["model"] == model and answer

    contract = Contract.model_validate({**contract_content(), "endpoint": "credit-line"})
    before = stack.put_champion(train(contract, seed=11).pack(golden=5), "credit-line")
    eventually(lambda: answered(before), "the endpoint answers by the first champion")

    package = train(contract).pack(golden=5)
    model = stack.approve(package, "credit-line")
    key = f"packages/{package.sha256}/{MODEL}"
    altered = bytearray(package.files[MODEL])
    altered[len(altered) // 2] ^= 1
    stack.client("s3").put_object(Bucket=stack.outputs["ModelsBucket"], Key=key, Body=bytes(altered))
    stack.put_champion(package, "credit-line")

    note = {"model": model, "cause": "not_loaded", "policy": "last_good"}
    answer = eventually(
        lambda: (answer := answered(before)) and note in answer.content["degraded"] and answer,
        "the champion before answers, and says so",
    )
    assert package.sha256 not in json.dumps(answer.content)
    sentence = f"{model} cannot be loaded: The package is altered: {MODEL} is not what its SHA-256 says."
    eventually(lambda: sentence in stack.logs("credit-line"), "the log names the altered file")

    stack.client("s3").put_object(Bucket=stack.outputs["ModelsBucket"], Key=key, Body=package.files[MODEL])
    healed = eventually(lambda: answered(model), "the new champion answers once its artefact is whole again")
    assert note not in healed.content["degraded"]


def test_a_missing_stream_costs_no_answer_and_no_record(stack: LocalStack, request_body: Body) -> None:
    kinesis, stream = stack.client("kinesis"), stack.outputs["PredictionsStream"]
    before = counted(stack.logs("card-fraud"), "PredictionsUndelivered")
    kinesis.delete_stream(StreamName=stream, EnforceConsumerDeletion=True)
    answers = [stack.score(request_body) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    ids = {answer.content["prediction_id"] for answer in answers}

    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucket"]
    kept = s3.list_objects_v2(Bucket=bucket, Prefix="undelivered/card-fraud/").get("Contents", ())
    assert len(kept) == 3
    eventually(
        lambda: counted(stack.logs("card-fraud"), "PredictionsUndelivered") == before + 3,
        "a metric says three",
    )
    assert stack.archived(ids) == []
    assert stack.invoke(stack.function("redeliver"), {})["refused"] > 0

    kinesis.create_stream(StreamName=stream, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    stack.consumers_read_anew()  # the emulator remembers places in the stream that is gone
    stack.invoke(stack.function("redeliver"), {})
    records = eventually(lambda: len(found := stack.archived(ids)) >= 3 and found, "all three are archived")
    assert {record["prediction_id"] for record in records} == ids
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="undelivered/")


def test_a_new_champion_answers_without_a_deployment(
    stack: LocalStack, request_body: Body, package: Package, second_package: Package
) -> None:
    second = stack.route_to(second_package)
    eventually(
        lambda: stack.score(request_body).content["model"] == second,
        "running environments take up the new route",
    )
    first = stack.route_to(package)
    eventually(lambda: stack.score(request_body).content["model"] == first, "and the old one again")
