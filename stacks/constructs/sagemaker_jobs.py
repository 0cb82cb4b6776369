"""Training at SageMaker: what the machine may do with its jobs, and what a job may do."""

from __future__ import annotations

from aws_cdk import Stack, aws_iam as iam
from constructs import Construct

from stacks.config import SageMakerTraining, Stage
from stacks.constructs.compliance import acknowledge
from stacks.constructs.object_access import finding_resource
from stacks.constructs.retraining_functions import allow_workspace
from stacks.constructs.service_role import ServiceRole
from stacks.data_stack import DataStack


class SageMakerJobs(Construct):
    """``role`` is what training jobs run as; ``let_start`` lets a machine start them."""

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, training: SageMakerTraining, data: DataStack
    ) -> None:
        super().__init__(scope, id)
        self._stage, self._data = stage, data
        self.role = self._role(training)

    def let_start(self, role: iam.Role) -> None:
        """The verbs of "Create an Amazon SageMaker AI training job" (Step Functions Developer Guide), on our jobs alone."""
        stack = Stack.of(self)
        jobs = stack.format_arn(
            service="sagemaker", resource="training-job", resource_name=f"{self._stage.training_job_prefix}*"
        )
        _let(
            role,
            ["sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob", "sagemaker:AddTags"],
            jobs,
        )  # fmt: skip
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::{finding_resource(stack.resolve(jobs))}]",
            reason="A job is named by the request it is for, under this stage's own prefix.",
        )
        rule = stack.format_arn(
            service="events",
            resource="rule",
            resource_name="StepFunctionsGetEventsForSageMakerTrainingJobsRule",
        )
        _let(role, ["events:DescribeRule", "events:PutRule", "events:PutTargets"], rule)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )

    def _role(self, training: SageMakerTraining) -> iam.Role:
        """What a training job may do: read and write workspaces, be pulled, log and count."""
        stack = Stack.of(self)
        role = ServiceRole(
            self,
            "Role",
            service="sagemaker",
            description=f"What training jobs may do in {self._stage.name}",
        )
        allow_workspace(role, self._data, "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
        _let(role, ["s3:ListBucket"], self._data.archive.bucket_arn)
        _let(role, ["kms:Decrypt", "kms:GenerateDataKey"], self._data.predictions_key.key_arn)
        logs = stack.format_arn(service="logs", resource="log-group:/aws/sagemaker/TrainingJobs:*")
        _let(
            role,
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            logs,
        )
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::{finding_resource(stack.resolve(logs))}]",
            reason="SageMaker names the log streams of its jobs, in the one group that all of an account's jobs share.",
        )
        account, _, _, region, *_ = training.image.split(".")
        repository = training.image.partition("/")[2].partition("@")[0].partition(":")[0]
        _let(
            role,
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            f"arn:{stack.partition}:ecr:{region}:{account}:repository/{repository}",
        )
        _let(role, ["ecr:GetAuthorizationToken"], "*")
        acknowledge(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            reason="A token for ECR is not of a repository: it opens those that the other statement names.",
        )
        return role


def _let(role: iam.Role, actions: list[str], *resources: str) -> None:
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=list(resources)))
