"""The states of a retraining: every task ends in time and fails into one place, and nothing there promotes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from stacks.config import (
    BuiltInTraining,
    ConfigError,
    Endpoint,
    SageMakerTraining,
    Stage,
    Throttle,
    WebhookTraining,
    load_stage,
)
from stacks.constructs.retraining_states import Parts, definition, longest_seconds

IMAGE = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/risk/trainer:7"
PARTS = Parts(
    training_set="arn:training-set",
    train="arn:train",
    candidate="arn:candidate",
    topic="arn:topic",
    bus="default",
    archive_bucket="archive",
    archive_key="arn:key",
    training_role="arn:role",
)
TRAININGS = {
    "built in": BuiltInTraining(),
    "sagemaker": SageMakerTraining(image=IMAGE, hours=2),
    "webhook": WebhookTraining(hours=48),
}


@pytest.fixture(params=TRAININGS)
def stage(request: pytest.FixtureRequest) -> Stage:
    return replace(load_stage("prod"), training=TRAININGS[request.param])


def states(stage: Stage) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = definition(stage, PARTS)["States"]
    return found


def following(state: Mapping[str, Any]) -> Iterator[str]:
    """Where a state may lead."""
    for key in ("Next", "Default"):
        if key in state:
            yield state[key]
    for item in (*state.get("Choices", ()), *state.get("Catch", ())):
        yield item["Next"]


def test_every_state_is_reached_and_leads_to_one_that_there_is(stage: Stage) -> None:
    machine, reached, waiting = states(stage), set(), ["Claim"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += following(machine[name])
    assert reached == set(machine)
    ends = {name for name, state in machine.items() if not list(following(state))}
    assert ends == {"Duplicate", "Ended", "Fail"}


def test_every_task_ends_in_time_and_whatever_fails_is_told_before_it_fails_the_execution(
    stage: Stage,
) -> None:
    machine = states(stage)
    tasks = {name: state for name, state in machine.items() if state["Type"] == "Task"}
    assert set(tasks) == {"Claim", "TrainingSet", "Train", "Candidate", "Tell", "TellFailure"}
    for name, task in tasks.items():
        assert 0 < task["TimeoutSeconds"] < longest_seconds(stage)
        (catch,) = task["Catch"]
        assert catch["ErrorEquals"] == ["States.ALL"]
        assert catch["Next"] == ("Fail" if name == "TellFailure" else "Failed")
    assert definition(stage, PARTS)["TimeoutSeconds"] == longest_seconds(stage)


def test_what_may_pass_is_tried_again_ever_later_and_what_may_be_done_once_is_not(stage: Stage) -> None:
    machine = states(stage)
    ours = [
        name
        for name, state in machine.items()
        if str(state.get("Resource", "")).startswith("arn:t") or name == "Candidate"
    ]
    for name in ours:
        (retry,) = machine[name]["Retry"]
        assert "Unavailable" in retry["ErrorEquals"]
        assert "Lambda.TooManyRequestsException" in retry["ErrorEquals"]
        assert "States.ALL" not in retry["ErrorEquals"]
        assert retry["BackoffRate"] > 1
        assert retry["MaxAttempts"] >= 3
    assert ("Retry" in machine["Train"]) is isinstance(stage.training, BuiltInTraining)


def test_functions_are_told_which_request_and_which_execution_and_never_what_to_do_by_the_event(
    stage: Stage,
) -> None:
    machine = states(stage)
    for name in ("Claim", "TrainingSet", "Candidate"):
        told = machine[name]["Parameters"]
        assert {key: value for key, value in told.items() if key != "step"} == {
            "endpoint.$": "$.endpoint",
            "request_id.$": "$.id",
            "execution.$": "$$.Execution.Id",
        }


def test_nothing_in_it_approves_or_gives_a_share(stage: Stage) -> None:
    resources = {state["Resource"] for state in states(stage).values() if "Resource" in state}
    elsewhere = {
        "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "arn:aws:states:::events:putEvents.waitForTaskToken",
    }
    assert resources - elsewhere <= {
        "arn:training-set", "arn:train", "arn:candidate", "arn:aws:states:::sns:publish",
    }  # fmt: skip


def test_a_job_at_sagemaker_is_named_by_the_request_and_given_its_workspace() -> None:
    stage = replace(load_stage("prod"), training=TRAININGS["sagemaker"])
    job = states(stage)["Train"]["Parameters"]
    assert job["TrainingJobName.$"] == "States.Format('quicksilver-prod-{}', $.id)"
    assert job["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 7_200}
    where = "States.Format('s3://archive/training/{}/{}/', $.endpoint, $.id)"
    assert job["Environment"]["QUICKSILVER_WORKSPACE.$"] == where
    assert job["OutputDataConfig"] == {"S3OutputPath.$": where, "KmsKeyId": "arn:key"}


def test_a_webhook_is_an_event_with_the_token_that_is_waited_for() -> None:
    stage = replace(load_stage("prod"), training=TRAININGS["webhook"])
    train = states(stage)["Train"]
    (entry,) = train["Parameters"]["Entries"]
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == (
        "quicksilver",
        "TrainingWanted",
        "default",
    )
    assert entry["Detail"]["task_token.$"] == "$$.Task.Token"
    assert entry["Detail"]["schema_version"] == 1
    assert train["TimeoutSeconds"] == 48 * 3_600


def test_a_definition_fits_what_step_functions_takes(stage: Stage) -> None:
    assert len(json.dumps(definition(stage, PARTS))) < 1_048_576


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BuiltInTraining(memory_mib=512), "1024 to 10240"),
        (lambda: SageMakerTraining(image="trainer"), "no image in Amazon ECR"),
        (lambda: SageMakerTraining(image=IMAGE, instance_type="m6i.large"), "no instance type of SageMaker"),
        (lambda: SageMakerTraining(image=IMAGE, volume_gib=0), "1 to 16384"),
        (lambda: SageMakerTraining(image=IMAGE, hours=121), "1 to 120"),
        (lambda: WebhookTraining(hours=0), "1 to 720"),
    ],
)
def test_an_impossible_training_is_refused_in_one_sentence(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_an_endpoint_whose_jobs_sagemaker_could_not_name_is_refused() -> None:
    throttle = Throttle(rate_per_second=1, burst=1)
    endpoints = tuple(Endpoint(name=name, throttle=throttle) for name in ("e" * 38, "credit-line"))
    stage = replace(load_stage("prod"), name="p" * 6)
    with pytest.raises(ConfigError, match="longer than SageMaker's 63 characters"):
        replace(stage, endpoints=endpoints, training=TRAININGS["sagemaker"])
