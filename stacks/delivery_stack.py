"""How GitHub's workflows reach one account: its OIDC provider, and a role for each thing a workflow does there.

In no stage, and before any: ``cdk deploy -c delivery=<owner>/<repository> -c delivery_stages=dev,staging``. A person with an
administrator's rights deploys it once an account; no workflow can change it.
"""

from __future__ import annotations

from aws_cdk import DefaultStackSynthesizer, Stack, aws_iam as iam
from constructs import Construct

from stacks.config.delivery import Delivery
from stacks.constructs.doctor_role import DoctorRole
from stacks.constructs.github_role import AUDIENCE, ISSUER, GitHubRole
from stacks.constructs.model_roles import ModelRoles
from stacks.constructs.stage_names import StageNames, explain_wildcards

BOOTSTRAP_ROLES = ("deploy-role", "file-publishing-role", "lookup-role")
"""Those of ``cdk bootstrap`` that a deployment of ours takes: there are no container images to publish."""


class DeliveryStack(Stack):
    """The roles of one account. ``quicksilver-diff`` reads templates, ``quicksilver-<stage>-deploy`` deploys a stage."""

    def __init__(self, scope: Construct, *, delivery: Delivery) -> None:
        super().__init__(
            scope,
            "quicksilver-delivery",
            description="Quicksilver: what GitHub's workflows may do in this account",
            termination_protection=True,
        )
        provider_arn = delivery.provider_arn or self._provider()
        self._diff(delivery, provider_arn)
        for stage in delivery.stages:
            self._deploy(delivery, stage, provider_arn)
            DoctorRole(
                self,
                f"{stage.capitalize()}Doctor",
                stage=stage,
                provider_arn=provider_arn,
                repository=delivery.repository,
            )
            ModelRoles(
                self,
                f"{stage.capitalize()}Models",
                stage=stage,
                provider_arn=provider_arn,
                repository=delivery.models_repository,
            )

    def _provider(self) -> str:
        # No thumbprints: AWS holds GitHub's certificates to its own list of authorities.
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html
        provider = iam.CfnOIDCProvider(self, "GitHub", url=f"https://{ISSUER}", client_id_list=[AUDIENCE])
        return provider.attr_arn

    def _diff(self, delivery: Delivery, provider_arn: str) -> None:
        """For pull requests, whose author may have changed the workflow: it reads templates, which hold no secret, and nothing
        else. Not even the bootstrap's look-up role, which reads all of the account."""
        reads = [
            names.may(
                ["cloudformation:DescribeStacks", "cloudformation:GetTemplate"],
                names.arn("cloudformation", "stack"),
            )
            for names in (StageNames(self, stage) for stage in delivery.stages)
        ]
        role = GitHubRole(
            self,
            "Diff",
            provider_arn=provider_arn,
            name="quicksilver-diff",
            description="Quicksilver: compares templates with what is deployed",
            subjects=[
                f"repo:{delivery.repository}:{subject}" for subject in ("pull_request", "environment:diff")
            ],
            statements=reads,
        )
        explain_wildcards(
            role.policy,
            reads,
            reason="Every stack of the stages of this account; what it reads is templates.",
        )

    def _deploy(self, delivery: Delivery, stage: str, provider_arn: str) -> None:
        qualifier = (
            self.node.try_get_context("@aws-cdk/core:bootstrapQualifier")
            or DefaultStackSynthesizer.DEFAULT_QUALIFIER
        )
        roles = [
            self.format_arn(
                service="iam",
                region="",
                resource="role",
                resource_name=f"cdk-{qualifier}-{role}-{self.account}-{self.region}",
            )
            for role in BOOTSTRAP_ROLES
        ]
        GitHubRole(
            self,
            f"{stage.capitalize()}Deploy",
            provider_arn=provider_arn,
            name=f"quicksilver-{stage}-deploy",
            description=f"Quicksilver {stage}: takes the roles that deploy it",
            subjects=[f"repo:{delivery.repository}:environment:{stage}"],
            statements=[iam.PolicyStatement(actions=["sts:AssumeRole"], resources=roles)],
        )
