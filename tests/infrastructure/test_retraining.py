"""Retraining in the stack: started by the event alone, heard of when it fails, and unable to promote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quicksilver.settings import Engine
from stacks.config import SageMakerTraining, WebhookTraining, load_stage
from tests.infrastructure.conftest import Synthesized, synthesize
from tests.infrastructure.test_functions import functions, statements
from tests.infrastructure.test_retraining_states import IMAGE


def granted(synthesized: Synthesized, role: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The verbs of roles whose name begins so, each with its statement."""
    for name, statement in statements(synthesized):
        if name.startswith(role) and statement["Effect"] == "Allow":
            actions = statement["Action"]
            yield from (
                (action, statement) for action in ([actions] if isinstance(actions, str) else actions)
            )


def resources(statement: Mapping[str, Any]) -> list[str]:
    found = statement["Resource"]
    return [json.dumps(item) for item in (found if isinstance(found, list) else [found])]


def machine(synthesized: Synthesized) -> Mapping[str, Any]:
    ((_, found),) = synthesized.of_type("AWS::StepFunctions::StateMachine", "monitoring").items()
    properties: Mapping[str, Any] = found["Properties"]
    return properties


def test_the_candidate_function_may_register_hand_in_evidence_and_add_a_shadow_and_call_nothing_else(
    every_stage: Synthesized,
) -> None:
    """What it may call is what it does call: ``tests/unit/test_retraining_candidate.py`` writes down the same paths."""
    calls = [
        path
        for action, statement in granted(every_stage, "RetrainingFunctions")
        if action == "execute-api:Invoke"
        for path in resources(statement)
    ]
    stage = every_stage.stage
    assert {path.partition(f"/{stage.name}/")[2].rstrip('"]} ') for path in calls} == {
        f"POST/v1/registry/{endpoint.name}/{path}"
        for endpoint in stage.endpoints
        for path in ("models", "models/*/evidence", "shadows")
    }


def test_no_role_of_retraining_writes_the_registry_or_signs_or_calls_more_of_it(
    every_stage: Synthesized,
) -> None:
    verbs = {action for action, _ in granted(every_stage, "Retraining")}
    assert not {
        verb
        for verb in verbs
        if verb.startswith("dynamodb:") and verb not in ("dynamodb:GetItem", "dynamodb:Query")
    }
    assert "kms:Sign" not in verbs
    assert not {verb for verb in verbs if "*" in verb}
    callers = {
        name
        for name, statement in statements(every_stage)
        if "execute-api:Invoke" in str(statement["Action"])
    }
    assert {name[:-8] for name in callers if name.startswith("Retraining")} == {
        "RetrainingFunctionsCandidateRole"
    }


def test_functions_write_workspaces_and_claims_alone_and_packages_only_the_candidate(
    every_stage: Synthesized,
) -> None:
    written = {
        (name[:-8].removeprefix("RetrainingFunctions"), resource.partition("/")[2].rstrip('"]} '))
        for name, statement in statements(every_stage)
        if name.startswith("RetrainingFunctions") and "s3:PutObject" in str(statement["Action"])
        for resource in resources(statement)
    }
    athena = every_stage.stage.analysis_engine is Engine.ATHENA
    assert written == {
        *([("TrainingSetRole", "athena-results/*")] if athena else []),
        ("TrainingSetRole", "training/*"),
        ("TrainingSetRole", "monitoring/retraining/*"),
        ("TrainRole", "training/*"),
        ("CandidateRole", "training/*"),
        ("CandidateRole", "packages/*"),
    }


def test_it_starts_by_a_request_of_its_own_stage_and_is_given_the_request_alone(
    every_stage: Synthesized,
) -> None:
    _, rule = every_stage.named("AWS::Events::Rule", "RetrainingRequested", "monitoring")
    properties = rule["Properties"]
    assert properties["EventPattern"] == {
        "source": ["quicksilver"],
        "detail-type": ["RetrainRequested"],
        "detail": {"stage": [every_stage.stage.name]},
    }
    (target,) = properties["Targets"]
    assert target["InputPath"] == "$.detail"
    starts = [
        statement
        for action, statement in granted(every_stage, "RetrainingStarter")
        if action == "states:StartExecution"
    ]
    assert [statement["Resource"] for statement in starts] == [target["Arn"]]


def test_its_history_is_encrypted_and_its_logs_hold_no_payload(every_stage: Synthesized) -> None:
    properties = machine(every_stage)
    encryption = properties["EncryptionConfiguration"]
    assert encryption["Type"] == "CUSTOMER_MANAGED_KMS_KEY"
    assert "PredictionsKey" in json.dumps(encryption["KmsKeyId"])
    logging = properties["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)
    group = logging["Destinations"][0]["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0]
    assert "KmsKeyId" in every_stage.resources[group]["Properties"]


def test_the_machine_calls_its_functions_and_the_topic_and_nothing_else(every_stage: Synthesized) -> None:
    found = {
        action: resources(statement) for action, statement in granted(every_stage, "RetrainingMachineRole")
    }
    assert set(found) - {action for action in found if action.startswith("logs:")} == {
        "lambda:InvokeFunction", "sns:Publish", "kms:Decrypt", "kms:GenerateDataKey",
    }  # fmt: skip
    assert len(found["lambda:InvokeFunction"]) == 3
    assert all("RetrainingFunctions" in arn for arn in found["lambda:InvokeFunction"])


def test_a_machine_that_fails_takes_too_long_or_is_stopped_rings(aws_stage: Synthesized) -> None:
    ringing = {
        alarm["Properties"]["MetricName"]
        for alarm in aws_stage.of_type("AWS::CloudWatch::Alarm", "monitoring").values()
        if alarm["Properties"]["Namespace"] == "AWS/States"
    }
    assert ringing == {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"}


def test_a_set_has_room_on_the_disk_for_the_archive_it_is_made_of(every_stage: Synthesized) -> None:
    storage = functions(every_stage)["training-set"]["Properties"]["EphemeralStorage"]
    assert storage == {"Size": 10_240}


# -- training elsewhere --


@pytest.fixture(scope="module")
def sagemaker(layers_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    stage = replace(load_stage("dev"), training=SageMakerTraining(image=IMAGE))
    return synthesize(stage, layers_root, tmp_path_factory.mktemp("sagemaker"))


@pytest.fixture(scope="module")
def webhook(layers_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    stage = replace(load_stage("dev"), training=WebhookTraining())
    return synthesize(stage, layers_root, tmp_path_factory.mktemp("webhook"))


def test_a_stage_that_trains_elsewhere_has_no_train_function(
    sagemaker: Synthesized, webhook: Synthesized
) -> None:
    for synthesized in (sagemaker, webhook):
        assert "train" not in functions(synthesized)


def test_at_sagemaker_it_may_start_its_own_jobs_and_pass_them_their_own_role(sagemaker: Synthesized) -> None:
    found = dict(granted(sagemaker, "RetrainingMachineRole"))
    jobs = resources(found["sagemaker:CreateTrainingJob"])
    assert [job.rstrip('"]} ').endswith("training-job/quicksilver-dev-*") for job in jobs] == [True]
    passing = found["iam:PassRole"]
    assert "RetrainingJobsRole" in json.dumps(passing["Resource"])
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_a_job_reads_and_writes_workspaces_and_pulls_its_one_image(sagemaker: Synthesized) -> None:
    found = dict(granted(sagemaker, "RetrainingJobsRole"))
    assert all('/training/*"' in resource for resource in resources(found["s3:PutObject"]))
    assert [image.rstrip('"]} ').endswith(":ecr:eu-central-1:111122223333:repository/risk/trainer") for image in resources(found["ecr:BatchGetImage"])] == [True]  # fmt: skip
    assert not {verb for verb in found if verb.startswith(("execute-api:", "dynamodb:", "sns:", "events:"))}


def test_a_webhook_is_told_on_the_bus_as_ourselves_alone(webhook: Synthesized) -> None:
    found = dict(granted(webhook, "RetrainingMachineRole"))
    assert found["events:PutEvents"]["Condition"] == {"StringEquals": {"events:source": "quicksilver"}}
    assert not {verb for verb in found if verb.startswith(("sagemaker:", "iam:"))}


def test_trainings_elsewhere_have_no_unexplained_finding(
    sagemaker: Synthesized, webhook: Synthesized
) -> None:
    for synthesized in (sagemaker, webhook):
        report = json.loads((synthesized.folder / "validation-report.json").read_text())
        assert [finding for plugin in report["pluginReports"] for finding in plugin["violations"]] == []
