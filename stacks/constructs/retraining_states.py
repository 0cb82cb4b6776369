"""The states of a retraining, in the Amazon States Language: what is done in what order, what is tried again, how it ends.

Every task has a time limit, tries again what may help, and hands any failure to ``Failed``, which tells people and ends the
execution with one cause. Nothing here approves a model version or gives it a share.
https://states-language.net/spec.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quicksilver.announcements import SOURCE
from quicksilver.monitoring import DetailType
from quicksilver.retraining.workspace import TRAINING_PREFIX, WorkFile
from stacks.config import BuiltInTraining, SageMakerTraining, Stage, WebhookTraining

State = dict[str, Any]

CLAIM_SECONDS = 60
FUNCTION_SECONDS = 900
"""The longest that Lambda lets a function run."""
TELL_SECONDS = 60

_MORE_ATTEMPTS = 4

_PASSING = [
    "Unavailable",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
]
"""What passes by itself: our own ``errors.Unavailable``, and what Step Functions asks to retry of Lambda.
https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What the machine calls, by ARN or name; ``train`` and ``training_role`` where the stage trains that way."""

    training_set: str
    train: str | None
    candidate: str
    topic: str
    bus: str
    archive_bucket: str
    archive_key: str
    training_role: str | None


def definition(stage: Stage, parts: Parts) -> State:
    """The machine of a stage. Its input is the detail of a ``RetrainRequested``."""
    return {
        "Comment": f"Quicksilver {stage.name}: from a request for a new model to a gated one in shadow",
        "StartAt": "Claim",
        "TimeoutSeconds": longest_seconds(stage),
        "States": {
            "Claim": _function(parts.training_set, CLAIM_SECONDS, "$.claim", "IsOurs", step="claim"),
            "IsOurs": _choice("$.claim.mine", "TrainingSet", "Duplicate"),
            "Duplicate": {"Type": "Succeed", "Comment": "Another execution has this request"},
            "TrainingSet": _function(
                parts.training_set, FUNCTION_SECONDS, "$.set", "EnoughRows", step="export"
            ),
            "EnoughRows": _choice("$.set.enough", "Train", "TooFewRows"),
            "TooFewRows": {
                "Type": "Pass",
                "InputPath": "$.set.ended",
                "ResultPath": "$.ended",
                "Next": "Tell",
            },
            "Train": _train(stage, parts),
            "Candidate": _function(parts.candidate, FUNCTION_SECONDS, "$.ended", "Tell"),
            "Tell": _tell(parts, "$.ended.subject", "$.ended.text", "$.told", "Ended")
            | {"Catch": _to_failed()},
            "Ended": {
                "Type": "Pass",
                "Parameters": {"id.$": "$.id", "ending.$": "$.ended.ending"},
                "End": True,
            },
            **_failure(stage, parts),
        },
    }


def longest_seconds(stage: Stage) -> int:
    """Longer than all its tasks may take with all their attempts, so that it is a task that ends and says so."""
    functions = (CLAIM_SECONDS + 3 * FUNCTION_SECONDS) * (_MORE_ATTEMPTS + 1)
    elsewhere = stage.training.hours * 3_600 if not isinstance(stage.training, BuiltInTraining) else 0
    return functions + elsewhere + 3_600


def _function(arn: str, seconds: int, result: str, following: str, **more: str) -> State:
    return {
        "Type": "Task",
        "Resource": arn,
        "Parameters": {
            "endpoint.$": "$.endpoint",
            "request_id.$": "$.id",
            "execution.$": "$$.Execution.Id",
            **more,
        },
        "ResultPath": result,
        "TimeoutSeconds": seconds,
        "Retry": _passing_retry(),
        "Catch": _to_failed(),
        "Next": following,
    }


def _choice(variable: str, then: str, otherwise: str) -> State:
    return {
        "Type": "Choice",
        "Choices": [{"Variable": variable, "BooleanEquals": True, "Next": then}],
        "Default": otherwise,
    }


def _train(stage: Stage, parts: Parts) -> State:
    match stage.training:
        case BuiltInTraining():
            return _function(str(parts.train), FUNCTION_SECONDS, "$.training", "Candidate")
        case SageMakerTraining() as training:
            return _sagemaker(stage, training, parts)
        case WebhookTraining() as training:
            return _webhook(stage, training, parts)


def _workspace(parts: Parts) -> str:
    return f"States.Format('s3://{parts.archive_bucket}/{TRAINING_PREFIX}{{}}/{{}}/', $.endpoint, $.id)"


def _sagemaker(stage: Stage, training: SageMakerTraining, parts: Parts) -> State:
    """A job of that name can be created once: another attempt would be refused, so there is none."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "Parameters": {
            "TrainingJobName.$": f"States.Format('{stage.training_job_prefix}{{}}', $.id)",
            "AlgorithmSpecification": {"TrainingImage": training.image, "TrainingInputMode": "File"},
            "RoleArn": parts.training_role,
            "InputDataConfig": [
                {
                    "ChannelName": "training",
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3DataDistributionType": "FullyReplicated",
                            "S3Uri.$": f"States.Format('s3://{parts.archive_bucket}/{TRAINING_PREFIX}{{}}/{{}}/{WorkFile.SET}', $.endpoint, $.id)",
                        }
                    },
                }
            ],
            "OutputDataConfig": {"S3OutputPath.$": _workspace(parts), "KmsKeyId": parts.archive_key},
            "ResourceConfig": {
                "InstanceCount": 1,
                "InstanceType": training.instance_type,
                "VolumeSizeInGB": training.volume_gib,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": training.hours * 3_600},
            "EnableInterContainerTrafficEncryption": True,
            "Environment": {
                "QUICKSILVER_STAGE": stage.name,
                "QUICKSILVER_ENDPOINT.$": "$.endpoint",
                "QUICKSILVER_REQUEST.$": "$.id",
                "QUICKSILVER_CHAMPION.$": "$.champion",
                "QUICKSILVER_WORKSPACE.$": _workspace(parts),
            },
        },
        "ResultPath": "$.training",
        "ResultSelector": {"job.$": "$.TrainingJobArn"},
        # A job that is stopped at its limit is still to be heard of.
        "TimeoutSeconds": training.hours * 3_600 + 1_800,
        "Catch": _to_failed(),
        "Next": "Candidate",
    }


def _webhook(stage: Stage, training: WebhookTraining, parts: Parts) -> State:
    """An event with the token of this task; whoever trains sends it back by ``SendTaskSuccess`` or ``SendTaskFailure``."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::events:putEvents.waitForTaskToken",
        "Parameters": {
            "Entries": [
                {
                    "EventBusName": parts.bus,
                    "Source": SOURCE,
                    "DetailType": DetailType.TRAINING_WANTED,
                    "Detail": {
                        "schema_version": 1,
                        "id.$": "$.id",
                        "stage": stage.name,
                        "endpoint.$": "$.endpoint",
                        "champion.$": "$.champion",
                        "workspace.$": _workspace(parts),
                        "task_token.$": "$$.Task.Token",
                    },
                }
            ]
        },
        "ResultPath": "$.training",
        "TimeoutSeconds": training.hours * 3_600,
        # Another attempt is another event with another token, and the first one might be answered.
        "Catch": _to_failed(),
        "Next": "Candidate",
    }


# -- telling people, and failing --


def _tell(parts: Parts, subject: str, message: str, result: str | None, following: str) -> State:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Parameters": {"TopicArn": parts.topic, "Subject.$": subject, "Message.$": message},
        "ResultPath": result,
        "TimeoutSeconds": TELL_SECONDS,
        "Retry": [
            {"ErrorEquals": ["States.TaskFailed", "States.Timeout"], "IntervalSeconds": 2, "MaxAttempts": 3, "BackoffRate": 2}
        ],
        "Next": following,
    }  # fmt: skip


def _failure(stage: Stage, parts: Parts) -> Mapping[str, State]:
    """A failed function's cause is JSON with its own sentence in it, every other cause a text; a timeout may have none."""
    cause = "$.failure.Cause"
    there = {"Variable": cause, "IsPresent": True}
    of_function = {"Variable": cause, "StringMatches": '{*"errorMessage"*}'}
    text = (
        "States.Format('Retraining has failed and put no new model in shadow. {} Error: {}. "
        f"More: quicksilver retrain show {{}} --stage {stage.name}. "
        f"Ask again: quicksilver retrain request --endpoint {{}} --stage {stage.name}', "
        "$.failure.sentence, $.failure.Error, $.id, $.endpoint)"
    )
    subject = f"States.Format('[{stage.name}] {{}}: retraining has failed', $.endpoint)"
    return {
        "Failed": {
            "Type": "Choice",
            "Choices": [
                {"And": [there, of_function], "Next": "ReadCause"},
                {**there, "Next": "TakeCause"},
            ],
            "Default": "NoCause",
        },
        "ReadCause": {
            "Type": "Pass",
            "Parameters": {"Error.$": "$.failure.Error", "answer.$": f"States.StringToJson({cause})"},
            "ResultPath": "$.failure",
            "Next": "TakeAnswer",
        },
        "TakeAnswer": _sentence({"sentence.$": "$.failure.answer.errorMessage"}),
        "TakeCause": _sentence({"sentence.$": cause}),
        "NoCause": _sentence(
            {"sentence": "A step has ended without a cause: it may have taken longer than it may."}
        ),
        "TellFailure": _tell(parts, subject, text, None, "Fail")
        | {"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Fail"}]},
        "Fail": {"Type": "Fail", "ErrorPath": "$.failure.Error", "CausePath": "$.failure.sentence"},
    }


def _sentence(found: State) -> State:
    return {
        "Type": "Pass",
        "Parameters": {"Error.$": "$.failure.Error", **found},
        "ResultPath": "$.failure",
        "Next": "TellFailure",
    }


def _passing_retry() -> list[State]:
    return [
        {
            "ErrorEquals": _PASSING,
            "IntervalSeconds": 5,
            "MaxAttempts": _MORE_ATTEMPTS,
            "BackoffRate": 2,
            "MaxDelaySeconds": 60,
            "JitterStrategy": "FULL",
        }
    ]


def _to_failed() -> list[State]:
    return [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Failed"}]
