"""What a workflow that releases models may do in one stage: three roles, one a step, and none that approves.

A workflow's word is as good as whoever may change it, and an approval is a person's: approving, overriding, rejecting and
retiring are denied to every role here, and so are routes by hand, whatever is attached to a role later.
"""

from __future__ import annotations

from aws_cdk import Stack, aws_iam as iam
from constructs import Construct

from stacks.constructs.artefact_bucket import PACKAGES
from stacks.constructs.github_role import GitHubRole
from stacks.constructs.stage_names import StageNames, explain_wildcards

GATE_SUBJECTS = ("pull_request", "ref:refs/heads/main")
PEOPLES = (
    "POST/v1/registry/*/approve",
    "POST/v1/registry/*/override",
    "POST/v1/registry/*/reject",
    "POST/v1/registry/*/retire",
    "PUT/v1/registry/*",
)
"""What only people do."""

WHY = "The account is set up before the stage, whose stacks, APIs, stores and keys are known by stage, name and path only."


class ModelRoles(Construct):
    """``quicksilver-<stage>-gate`` reads the champion, ``-register`` hands a package in, ``-rollout`` moves an approved one."""

    def __init__(self, scope: Construct, id: str, *, stage: str, provider_arn: str, repository: str) -> None:
        super().__init__(scope, id)
        self._stage, self._names = stage, StageNames(Stack.of(self), stage)
        self._provider_arn, self._repository = provider_arn, repository
        names = self._names
        self._role(
            "gate",
            "reads the champion that a package is compared with",
            GATE_SUBJECTS,
            self._invoke("GET/v1/registry/*/route"),
            names.may_of_this_account(["s3:GetObject"], names.bucket("models", PACKAGES)),
            names.may_use_key(["kms:Decrypt"], "models", "s3"),
        )
        self._role(
            "register",
            "hands in a package and its gate report",
            (f"environment:{stage}-models",),
            self._invoke(
                "POST/v1/registry/*/models",
                "POST/v1/registry/*/models/*/evidence",
                "GET/v1/registry/*/models/*",
            ),
            names.may_of_this_account(["s3:PutObject"], names.bucket("models", PACKAGES)),
            names.may_use_key(["kms:GenerateDataKey"], "models", "s3"),
        )
        self._role(
            "rollout",
            "starts and follows the rollout of an approved model version",
            (f"environment:{stage}-rollout",),
            self._invoke(
                "POST/v1/registry/*/rollout",
                "GET/v1/registry/*/rollout",
                "GET/v1/registry/*/history",
                "GET/v1/registry/*/models/*",
            ),
            names.may(["dynamodb:GetItem", "dynamodb:Query"], names.arn("dynamodb", "table", "data-Rollup")),
            names.may_use_key(["kms:Decrypt"], "predictions", "dynamodb"),
            # A rollout is watched for as long as GitHub lets a job run.
            hours=6,
        )

    def _role(
        self,
        step: str,
        does: str,
        subjects: tuple[str, ...],
        *statements: iam.PolicyStatement,
        hours: int = 1,
    ) -> None:
        # Where the stage's APIs and stores are, its stacks' outputs say.
        find = self._names.may(["cloudformation:DescribeStacks"], self._names.arn("cloudformation", "stack"))
        allowed = [find, *statements]
        role = GitHubRole(
            self,
            step.capitalize(),
            provider_arn=self._provider_arn,
            name=f"quicksilver-{self._stage}-{step}",
            description=f"Quicksilver {self._stage}: {does}",
            subjects=[f"repo:{self._repository}:{subject}" for subject in subjects],
            statements=[*allowed, self._leave_to_people()],
            hours=hours,
        )
        explain_wildcards(role.policy, allowed, reason=WHY)

    def _invoke(self, *paths: str) -> iam.PolicyStatement:
        return self._names.may(["execute-api:Invoke"], *map(self._names.path, paths))

    def _leave_to_people(self) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid="LeftToPeople",
            effect=iam.Effect.DENY,
            actions=["execute-api:Invoke"],
            resources=[self._names.path(path, stage="*") for path in PEOPLES],
        )
