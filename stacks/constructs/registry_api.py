"""The registry API: every request under ``/v1/registry``, signed by IAM, to the one registry function.

Which paths and methods exist is the function's to say, with a problem for what does not. What a caller may
do is said by IAM on the path: ``execute-api:Invoke`` on ``.../POST/v1/registry/*/models/*/approve``.
"""

from __future__ import annotations

from aws_cdk import aws_apigateway as apigateway, aws_kms as kms, aws_lambda as lambda_
from constructs import Construct

from quicksilver.registry_operation import MAX_BODY_BYTES
from stacks.config import Stage
from stacks.constructs.firewall import BodyLimit, Limits
from stacks.constructs.signed_api import SignedApi, explain_signed_method


class RegistryApi(Construct):
    """An API of its own: a flood of decisions can't throttle an approval, nor an auditor's pages a decision."""

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, function: lambda_.IFunction, log_key: kms.IKey
    ) -> None:
        super().__init__(scope, id)
        self.api = api = SignedApi(
            self,
            "Rest",
            stage=stage,
            name=f"quicksilver-{stage.name}-registry",
            description=f"Quicksilver {stage.name}: the registry of model versions and routes",
            log_key=log_key,
            outputs="RegistryApi",
            limits=Limits(
                requests_per_minute=stage.firewall.registry_per_minute,
                bodies=[BodyLimit(path_end="", max_bytes=MAX_BODY_BYTES)],
            )
            if stage.firewall
            else None,
            domain=stage.registry_domain,
            # A method for ANY takes no throttle of its own, so the one for all methods is its.
            throttle=stage.registry_throttle,
        )
        method = (
            api.root.add_resource("v1")
            .add_resource("registry")
            .add_resource("{proxy+}")
            .add_method(
                "ANY",
                apigateway.LambdaIntegration(function, allow_test_invoke=False),
                operation_name="registry",
                authorization_type=apigateway.AuthorizationType.IAM,
            )
        )
        explain_signed_method(method)
