"""A role of one function or of one service of AWS, with one policy of its own."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.constructs.compliance import acknowledge


class ServiceRole(iam.Role):
    """Taken by ``service`` (``lambda``, ``firehose``) alone; what it may do is added where both parties are visible."""

    def __init__(
        self, scope: Construct, id: str, *, service: str, description: str, role_name: str | None = None
    ) -> None:
        super().__init__(
            scope,
            id,
            role_name=role_name,
            assumed_by=iam.ServicePrincipal(f"{service}.amazonaws.com"),
            description=description,
        )
        explain_own_policy(self)


def explain_own_policy(role: iam.IRole) -> None:
    """For a role that a construct of CDK makes, too."""
    acknowledge(
        role,
        "PCI.DSS.321-IAMNoInlinePolicy",
        reason="The policy is this one role's and goes with it; one that is shared would give a verb to whoever else has it.",
    )
