"""What a stage's stacks, stores and APIs are called, for roles that are made before the stage is.

CloudFormation names what it makes by stack, logical id and a suffix, in lower case for a bucket; an API's id is given when it is
made, but its path holds the stage. Such a name is known by its beginning only, and the beginning is of one stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack, aws_iam as iam
from constructs import IConstruct

from stacks.constructs.compliance import acknowledge
from stacks.constructs.object_access import finding_resource


class StageNames:
    """ARNs and statements on one stage in the account and region of a stack that is not of the stage."""

    def __init__(self, stack: Stack, stage: str) -> None:
        self._stack, self._stage = stack, stage

    def arn(self, service: str, resource: str, name: str = "", *, colon: bool = False) -> str:
        """Of what begins with the stage's name: ``name`` follows that, ``data-Rollup`` for one store."""
        separator = ":" if colon else "/"
        whole = f"quicksilver-{self._stage}-{name}*"
        return self._arn(service, f"{resource}{separator}{whole}" if resource else whole)

    def any(self, service: str, resource: str) -> str:
        """Of what has no name of ours, or none that says its stage."""
        return self._arn(service, resource)

    def path(self, path: str, *, stage: str = "") -> str:
        """A request of the stage's APIs, or of those of all stages of the account."""
        return self._arn("execute-api", f"*/{stage or self._stage}/{path}")

    def api_keys(self) -> str:
        """API Gateway's own ARNs are paths, of no account."""
        return self._stack.format_arn(
            service="apigateway", account="", resource="/apikeys", resource_name="*"
        )

    def bucket(self, name: str, objects: str = "") -> str:
        whole = f"quicksilver-{self._stage}-data-{name}*"
        return self._stack.format_arn(
            service="s3", region="", account="", resource=f"{whole}/{objects}*" if objects else whole
        )

    def may(self, actions: Sequence[str], *arns: str) -> iam.PolicyStatement:
        return iam.PolicyStatement(actions=list(actions), resources=list(arns))

    def may_of_this_account(self, actions: Sequence[str], *arns: str) -> iam.PolicyStatement:
        """A bucket's name is the world's: of this account, lest data go to, or come from, somebody else's."""
        return iam.PolicyStatement(
            actions=list(actions),
            resources=list(arns),
            conditions={"StringEquals": {"aws:ResourceAccount": self._stack.account}},
        )

    def may_use_key(self, actions: Sequence[str], data_class: str, service: str = "") -> iam.PolicyStatement:
        """The stage's key of one class of data, by its alias, for what one service does for us, or for ourselves."""
        through = {"kms:ViaService": f"{service}.{self._stack.region}.{self._stack.url_suffix}"}
        return iam.PolicyStatement(
            actions=list(actions),
            resources=[self._arn("kms", "key/*")],
            conditions={
                "ForAnyValue:StringLike": {
                    "kms:ResourceAliases": f"alias/quicksilver/{self._stage}/{data_class}"
                },
                **({"StringEquals": through} if service else {}),
            },
        )

    def _arn(self, service: str, resource: str) -> str:
        return self._stack.format_arn(
            service=service, resource=resource, arn_format=ArnFormat.COLON_RESOURCE_NAME
        )


def explain_wildcards(policy: IConstruct, statements: Sequence[iam.PolicyStatement], *, reason: str) -> None:
    """Acknowledge each resource of the statements that a pattern names."""
    stack = Stack.of(policy)
    resources = {
        finding_resource(stack.resolve(arn)) for statement in statements for arn in statement.resources
    }
    for resource in sorted(resource for resource in resources if "*" in resource):
        acknowledge(policy, f"AwsSolutions-IAM5[Resource::{resource}]", reason=reason)
