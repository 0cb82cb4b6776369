"""What a workflow that releases models may do in one stage: three roles, one a step, and none that approves.

A workflow's word is as good as whoever may change it, and an approval is a person's: approving, overriding, rejecting and
retiring are denied to every role here, and so are routes by hand, whatever is attached to a role later.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack, aws_iam as iam
from constructs import Construct

from stacks.constructs.artefact_bucket import PACKAGES
from stacks.constructs.compliance import acknowledge
from stacks.constructs.github_role import GitHubRole
from stacks.constructs.object_access import finding_resource

GATE_SUBJECTS = ("pull_request", "ref:refs/heads/main")
PEOPLES = (
    "POST/v1/registry/*/approve",
    "POST/v1/registry/*/override",
    "POST/v1/registry/*/reject",
    "POST/v1/registry/*/retire",
    "PUT/v1/registry/*",
)
"""What only people do."""

_WHY = "The account is set up before the stage, whose stacks, APIs, stores and keys are known by stage, name and path only."


class ModelRoles(Construct):
    """``quicksilver-<stage>-gate`` reads the champion, ``-register`` hands a package in, ``-rollout`` moves an approved one.

    The stage's stores are known here by how CloudFormation names them, stack first, so that an account can be set up
    before its stage is deployed.
    """

    def __init__(self, scope: Construct, id: str, *, stage: str, provider_arn: str, repository: str) -> None:
        super().__init__(scope, id)
        self._stack, self._stage = Stack.of(self), stage
        steps: dict[str, tuple[str, tuple[str, ...], list[iam.PolicyStatement]]] = {
            "gate": (
                "reads the champion that a package is compared with",
                GATE_SUBJECTS,
                [
                    self._invoke("GET/v1/registry/*/route"),
                    self._objects("s3:GetObject"),
                    self._key("kms:Decrypt", "models", "s3"),
                ],
            ),
            "register": (
                "hands in a package and its gate report",
                (f"environment:{stage}-models",),
                [
                    self._invoke(
                        "POST/v1/registry/*/models",
                        "POST/v1/registry/*/models/*/evidence",
                        "GET/v1/registry/*/models/*",
                    ),
                    self._objects("s3:PutObject"),
                    self._key("kms:GenerateDataKey", "models", "s3"),
                ],
            ),
            "rollout": (
                "starts and follows the rollout of an approved model version",
                (f"environment:{stage}-rollout",),
                [
                    self._invoke(
                        "POST/v1/registry/*/rollout",
                        "GET/v1/registry/*/rollout",
                        "GET/v1/registry/*/history",
                        "GET/v1/registry/*/models/*",
                    ),
                    self._read_rollup(),
                    self._key("kms:Decrypt", "predictions", "dynamodb"),
                ],
            ),
        }
        for step, (does, subjects, statements) in steps.items():
            role = GitHubRole(
                self,
                step.capitalize(),
                provider_arn=provider_arn,
                name=f"quicksilver-{stage}-{step}",
                description=f"Quicksilver {stage}: {does}",
                subjects=[f"repo:{repository}:{subject}" for subject in subjects],
                statements=[self._describe(), *statements, self._leave_to_people()],
                # A rollout is watched for as long as GitHub lets a job run.
                hours=6 if step == "rollout" else 1,
            )
            self._explain(role, statements)

    def _describe(self) -> iam.PolicyStatement:
        """Where the stage's APIs and stores are, from its stacks' outputs."""
        return describe_stacks(self._stack, self._stage, "cloudformation:DescribeStacks")

    def _api(self, path: str) -> str:
        # An API's id is given when it is made; the deployed stage's name and the path bound the rest.
        return self._stack.format_arn(
            service="execute-api", resource="*", resource_name=f"{self._stage}/{path}"
        )

    def _invoke(self, *paths: str) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            actions=["execute-api:Invoke"], resources=[self._api(path) for path in paths]
        )

    def _leave_to_people(self) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid="LeftToPeople",
            effect=iam.Effect.DENY,
            actions=["execute-api:Invoke"],
            resources=[
                self._stack.format_arn(service="execute-api", resource="*", resource_name=f"*/{path}")
                for path in PEOPLES
            ],
        )

    def _objects(self, action: str) -> iam.PolicyStatement:
        bucket = f"quicksilver-{self._stage}-data-models*"
        arn = self._stack.format_arn(
            service="s3", region="", account="", resource=bucket, resource_name=f"{PACKAGES}*"
        )
        return iam.PolicyStatement(
            actions=[action],
            resources=[arn],
            # A bucket's name is the world's: of this account, lest a package go to, or come from, somebody else's.
            conditions={"StringEquals": {"aws:ResourceAccount": self._stack.account}},
        )

    def _read_rollup(self) -> iam.PolicyStatement:
        table = f"quicksilver-{self._stage}-data-Rollup*"
        return iam.PolicyStatement(
            actions=["dynamodb:GetItem", "dynamodb:Query"],
            resources=[self._stack.format_arn(service="dynamodb", resource="table", resource_name=table)],
        )

    def _key(self, action: str, data_class: str, service: str) -> iam.PolicyStatement:
        """The stage's key of one class of data, by its alias, for what one service does for us."""
        return iam.PolicyStatement(
            actions=[action],
            resources=[self._stack.format_arn(service="kms", resource="key", resource_name="*")],
            conditions={
                "ForAnyValue:StringEquals": {
                    "kms:ResourceAliases": f"alias/quicksilver/{self._stage}/{data_class}"
                },
                "StringEquals": {
                    "kms:ViaService": f"{service}.{self._stack.region}.{self._stack.url_suffix}"
                },
            },
        )

    def _explain(self, role: GitHubRole, statements: Sequence[iam.PolicyStatement]) -> None:
        explain_wildcards(role, [self._describe(), *statements], reason=_WHY)


def describe_stacks(stack: Stack, stage: str, *actions: str) -> iam.PolicyStatement:
    """Read what CloudFormation says of the stacks of one stage."""
    return iam.PolicyStatement(
        actions=list(actions),
        resources=[
            stack.format_arn(
                service="cloudformation", resource="stack", resource_name=f"quicksilver-{stage}-*/*"
            )
        ],
    )


def explain_wildcards(role: GitHubRole, statements: Sequence[iam.PolicyStatement], *, reason: str) -> None:
    stack = Stack.of(role)
    resources = {
        finding_resource(stack.resolve(arn)) for statement in statements for arn in statement.resources
    }
    for resource in sorted(resource for resource in resources if "*" in resource):
        acknowledge(role.policy, f"AwsSolutions-IAM5[Resource::{resource}]", reason=reason)
