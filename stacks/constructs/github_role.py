"""A role that a GitHub workflow takes by its token, without a stored key."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, aws_iam as iam
from constructs import Construct

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"


class GitHubRole(Construct):
    """Only a token for AWS whose subject is, letter for letter, one of ``subjects`` takes it, for an hour or the given hours.

    A pattern in a subject is how other repositories and branches slip in, so there is none. What the role may do is
    one managed policy, and nothing else.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        provider_arn: str,
        name: str,
        description: str,
        subjects: Sequence[str],
        statements: Sequence[iam.PolicyStatement],
        hours: int = 1,
    ) -> None:
        super().__init__(scope, id)
        role = iam.Role(
            self,
            "Role",
            role_name=name,
            description=description,
            max_session_duration=Duration.hours(hours),
            assumed_by=iam.WebIdentityPrincipal(
                provider_arn,
                {"StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": list(subjects)}},
            ),
        )
        self.policy = iam.ManagedPolicy(
            self, "Policy", managed_policy_name=name, roles=[role], statements=list(statements)
        )
