"""A regional REST API whose callers sign (SigV4), behind a firewall on AWS: it logs each access, traces no payload, and refuses
in problems. Where it has a name of its own, that is its address."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aws_cdk import CfnOutput, RemovalPolicy, Stack, aws_apigateway as apigateway, aws_kms as kms
from constructs import Construct

from stacks.config import Domain, Stage, Throttle
from stacks.constructs.compliance import acknowledge
from stacks.constructs.custom_domain import CustomDomain
from stacks.constructs.encrypted_log_group import EncryptedLogGroup
from stacks.constructs.firewall import Firewall, Limits
from stacks.constructs.gateway_problems import answer_with_problems

# Who, what, when, how long. Never a body, a header or a path parameter a caller may have put data in.
_ACCESS_LOG_LINE = {
    "requestId": "$context.requestId",
    "extendedRequestId": "$context.extendedRequestId",
    "requestTimeEpoch": "$context.requestTimeEpoch",
    "caller": "$context.identity.userArn",
    "apiKeyId": "$context.identity.apiKeyId",
    "method": "$context.httpMethod",
    "resource": "$context.resourcePath",
    "status": "$context.status",
    "refusal": "$context.error.responseType",
    "responseLatencyMs": "$context.responseLatency",
    "integrationLatencyMs": "$context.integrationLatency",
    "responseBytes": "$context.responseLength",
}


class SignedApi(apigateway.RestApi):
    """``throttle`` bounds each of its methods; ``method_options`` says it for each by its path.

    Access logs need a role that API Gateway has once per account and region, for every API in it. One API of
    the stage gives it (``gives_account_its_log_role``), and the others are deployed after that one. ``limits`` are its
    firewall's, on AWS; ``outputs`` begins the names of the stack's outputs that say where it is.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        name: str,
        description: str,
        log_key: kms.IKey,
        outputs: str,
        limits: Limits | None,
        domain: Domain | None,
        gives_account_its_log_role: bool = False,
        throttle: Throttle | None = None,
        method_options: Mapping[str, apigateway.MethodDeploymentOptions] | None = None,
    ) -> None:
        access_log = EncryptedLogGroup(scope, "AccessLog", stage=stage, key=log_key)
        super().__init__(
            scope,
            id,
            rest_api_name=name,
            description=description,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            # Who knew the API's own address would need no certificate.
            disable_execute_api_endpoint=bool(domain and domain.truststore) or None,
            cloud_watch_role=gives_account_its_log_role,
            # Taking it away with this stack would silence every other API of the account.
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN if gives_account_its_log_role else None,
            deploy_options=apigateway.StageOptions(
                stage_name=stage.name,
                access_log_destination=apigateway.LogGroupLogDestination(access_log),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG_LINE)),
                data_trace_enabled=False,
                metrics_enabled=True,
                tracing_enabled=False,
                throttling_rate_limit=throttle.rate_per_second if throttle else None,
                throttling_burst_limit=throttle.burst if throttle else None,
                method_options=method_options,
            ),
        )
        self.access_log = access_log
        answer_with_problems(self)
        if limits is not None:
            Firewall(self, "Firewall", stage=stage, api=self, limits=limits, log_key=log_key)
        stack = Stack.of(self)
        self.domain: CustomDomain | None = None
        if domain is not None:
            self.domain = CustomDomain(
                self, "Domain", domain=domain, api=self, stack=stack, output=f"{outputs}DomainTarget"
            )
        CfnOutput(stack, f"{outputs}Url", value=domain.url if domain else self.url)
        CfnOutput(stack, f"{outputs}Id", value=self.rest_api_id)
        _explain_choices(self, behind_firewall=limits is not None)


def _explain_choices(api: apigateway.RestApi, *, behind_firewall: bool) -> None:
    acknowledge(
        api.node.find_child("Resource"),
        "AwsSolutions-APIG2",
        reason="The function validates each body once; the gateway's validator cannot name the field in a problem.",
    )
    if not behind_firewall:
        for finding in ("AwsSolutions-APIG3", "PCI.DSS.321-APIGWAssociatedWithWAF"):
            acknowledge(
                api.deployment_stage,
                finding,
                reason="An emulator of AWS has no firewall, and is on the machine of who calls it.",
            )
    for finding, reason in {
        **dict.fromkeys(
            ("AwsSolutions-APIG6", "PCI.DSS.321-APIGWExecutionLoggingEnabled"),
            "Execution logs go to a group without our key and retention; the access log has every request.",
        ),
        "PCI.DSS.321-APIGWCacheEnabledAndEncrypted": "Nothing is cached: an answer is of one moment's features and one route.",
        "PCI.DSS.321-APIGWSSLEnabled": "What is behind the gateway is Lambda, by AWS's own signed TLS: there is no server of ours to "
        "show a client certificate to.",
        "Serverless-APIGWXrayEnabled": "The functions do not trace either; each answer has the time of each step, the access log "
        "those of the gateway.",
    }.items():
        acknowledge(api.deployment_stage, finding, reason=reason)
    for role in [child for child in api.node.children if child.node.id == "CloudWatchRole"]:
        acknowledge(
            role,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]",
            reason="API Gateway asks for this policy by name when the account's logging role is set.",
        )


def explain_signed_method(method: apigateway.Method) -> None:
    acknowledge(
        method,
        "AwsSolutions-COG4",
        reason="Callers sign with IAM (SigV4), people too: a change of the registry is by an IAM identity.",
    )
