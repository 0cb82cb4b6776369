"""What ``quicksilver doctor`` may look at in one stage after a deployment: how its resources are, and its registry. It changes
nothing, reads no record of a decision, and scores nothing: its request to an endpoint is one that is refused.
"""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from stacks.constructs.artefact_bucket import PACKAGES
from stacks.constructs.github_role import GitHubRole
from stacks.constructs.model_roles import WHY
from stacks.constructs.stage_names import StageNames, explain_wildcards


class DoctorRole(Construct):
    """``quicksilver-<stage>-doctor``, taken in the environment of the stage, as the deployment before it was."""

    def __init__(self, scope: Construct, id: str, *, stage: str, provider_arn: str, repository: str) -> None:
        super().__init__(scope, id)
        names = StageNames(Stack.of(self), stage)
        statements = [
            names.may(
                [
                    "cloudformation:DescribeStacks",
                    "cloudformation:GetTemplate",
                    "cloudformation:ListStackResources",
                ],
                names.arn("cloudformation", "stack"),
            ),
            names.may(
                [
                    "lambda:GetAlias",
                    "lambda:GetFunctionConfiguration",
                    "lambda:ListProvisionedConcurrencyConfigs",
                ],
                names.arn("lambda", "function", colon=True),
            ),
            names.may(["lambda:GetEventSourceMapping"], names.any("lambda", "event-source-mapping:*")),
            names.may(["codedeploy:ListDeployments"], names.arn("codedeploy", "deploymentgroup", colon=True)),
            names.may(
                [
                    "dynamodb:DescribeContinuousBackups",
                    "dynamodb:DescribeTable",
                    "dynamodb:DescribeTimeToLive",
                    "dynamodb:GetResourcePolicy",
                ],
                names.arn("dynamodb", "table"),
            ),
            names.may(
                ["dynamodb:GetItem", "dynamodb:Query"],
                names.arn("dynamodb", "table", "data-Registry"),
                names.arn("dynamodb", "table", "data-Rollup"),
                # As one is named that is restored, or of two regions (docs/recovery.md).
                names.arn("dynamodb", "table", "registry"),
                names.arn("dynamodb", "table", "rollup"),
            ),
            names.may(["kinesis:DescribeStreamSummary"], names.arn("kinesis", "stream")),
            names.may(["firehose:DescribeDeliveryStream"], names.arn("firehose", "deliverystream")),
            names.may(["sqs:GetQueueAttributes"], names.arn("sqs", "")),
            names.may(["events:DescribeRule"], names.arn("events", "rule")),
            # Named by its logical id alone.
            names.may(["states:DescribeStateMachine"], names.any("states", "stateMachine:*")),
            # Alarms and metrics are read by name in the request; IAM knows no resource of theirs for these.
            names.may(["cloudwatch:DescribeAlarms", "cloudwatch:GetMetricStatistics"], "*"),
            names.may_of_this_account(
                [
                    "s3:GetBucketObjectLockConfiguration",
                    "s3:GetBucketPublicAccessBlock",
                    "s3:GetBucketVersioning",
                    "s3:GetEncryptionConfiguration",
                    "s3:ListBucket",
                ],
                names.bucket(""),
            ),
            names.may_of_this_account(["s3:GetObject"], names.bucket("models", PACKAGES)),
            names.may_use_key(["kms:DescribeKey", "kms:GetKeyRotationStatus"], "*"),
            names.may_use_key(["kms:Decrypt"], "models", "s3"),
            names.may_use_key(["kms:Decrypt"], "models", "dynamodb"),
            names.may_use_key(["kms:Decrypt"], "predictions", "dynamodb"),
            names.may_use_key(["kms:Verify"], "approvals"),
            names.may(["apigateway:GET"], names.api_keys()),
            names.may(["execute-api:Invoke"], names.path("POST/v1/*/score")),
        ]
        role = GitHubRole(
            self,
            "Examines",
            provider_arn=provider_arn,
            name=f"quicksilver-{stage}-doctor",
            description=f"Quicksilver {stage}: examines what was deployed",
            subjects=[f"repo:{repository}:environment:{stage}"],
            statements=statements,
        )
        explain_wildcards(role.policy, statements, reason=WHY)
