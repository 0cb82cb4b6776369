"""The scoring API: ``POST /v1/{endpoint}/score``, ``.../score-batch`` and ``.../outcomes``, signed by IAM, throttled per key
and per endpoint.

Each endpoint is a static resource in front of its own ``live`` alias and of the one function that takes outcomes, so its
permissions, its throttles and its metrics are its own. Any other name falls through to an answer the gateway gives by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from aws_cdk import (
    CfnOutput,
    aws_apigateway as apigateway,
    aws_kms as kms,
    aws_lambda as lambda_,
)
from constructs import Construct
from pydantic import BaseModel

from quicksilver.errors import FieldError
from quicksilver.problem import PROBLEM_JSON, problem
from stacks.config import Endpoint, Stage, Throttle
from stacks.constructs.firewall import BodyLimit, Limits
from stacks.constructs.request_model import RequestModel
from stacks.constructs.signed_api import SignedApi, explain_signed_method
from stacks.openapi.scoring_operations import OPERATIONS, OUTCOMES


class ScoringApi(Construct):
    """One regional REST API with a route per endpoint, one usage plan and one API key."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        live: Mapping[str, lambda_.IFunction],
        outcomes: lambda_.IFunction,
        log_key: kms.IKey,
    ) -> None:
        """``live`` maps an endpoint's name to the alias that answers for it; ``outcomes`` takes those of all endpoints."""
        super().__init__(scope, id)
        self._stage = stage
        self.api = SignedApi(
            self,
            "Rest",
            stage=stage,
            name=stage.scoring_api_name,
            description=f"Quicksilver {stage.name}: scoring",
            log_key=log_key,
            outputs="Api",
            limits=Limits(
                requests_per_minute=stage.firewall.scoring_per_minute,
                bodies=[
                    BodyLimit(path_end=f"/{verb}", max_bytes=operation.max_body_bytes)
                    for verb, operation in OPERATIONS.items()
                ],
            )
            if stage.firewall
            else None,
            domain=stage.scoring_domain,
            gives_account_its_log_role=not stage.emulated,
            # What no endpoint has of its own: the answers that name no endpoint of this stage.
            throttle=stage.client_throttle,
            method_options={
                f"/v1/{endpoint.name}/{verb}/POST": apigateway.MethodDeploymentOptions(
                    throttling_rate_limit=self._throttle(endpoint, verb).rate_per_second,
                    throttling_burst_limit=self._throttle(endpoint, verb).burst,
                    metrics_enabled=True,
                    data_trace_enabled=False,
                )
                for endpoint in stage.endpoints
                for verb in OPERATIONS
            },
        )
        models = {verb: self._request_model(operation.body) for verb, operation in OPERATIONS.items()}

        v1 = self.api.root.add_resource("v1")
        resources = {endpoint.name: v1.add_resource(endpoint.name) for endpoint in stage.endpoints}
        methods = {
            (endpoint.name, verb): resources[endpoint.name]
            .add_resource(verb)
            .add_method(
                "POST",
                apigateway.LambdaIntegration(
                    outcomes if verb == OUTCOMES else live[endpoint.name], allow_test_invoke=False
                ),
                operation_name=f"{verb}-{endpoint.name}",
                request_models={"application/json": models[verb]},
                authorization_type=apigateway.AuthorizationType.IAM,
                api_key_required=True,
            )
            for endpoint in stage.endpoints
            for verb in OPERATIONS
        }
        anything = v1.add_resource("{endpoint}")
        unknown = [self._answer_unknown_endpoint(anything.add_resource(verb)) for verb in OPERATIONS]
        for method in (*methods.values(), *unknown):
            explain_signed_method(method)
        self.api_key = self._usage_plan(methods)

        CfnOutput(scope, "ApiKeyId", value=self.api_key.key_id)

    def _request_model(self, kind: type[BaseModel]) -> apigateway.IModel:
        model = RequestModel(self, kind.__name__, api=self.api, kind=kind)
        deployment = self.api.latest_deployment
        if deployment is not None:
            deployment.node.add_dependency(model)
            deployment.add_to_logical_id(model.schema)
        return apigateway.Model.from_model_name(self, f"{kind.__name__}Ref", model.ref)

    def _answer_unknown_endpoint(self, resource: apigateway.Resource) -> apigateway.Method:
        status = HTTPStatus.NOT_FOUND
        unknown = FieldError("endpoint", "is not an endpoint of this stage")
        template = json.dumps(problem(status, "There is no such endpoint.", fields=[unknown]))
        return resource.add_method(
            "POST",
            apigateway.MockIntegration(
                request_templates={"application/json": json.dumps({"statusCode": int(status)})},
                passthrough_behavior=apigateway.PassthroughBehavior.NEVER,
                integration_responses=[
                    apigateway.IntegrationResponse(
                        status_code=str(int(status)),
                        response_templates={"application/json": template},
                        response_parameters={
                            "method.response.header.Content-Type": f"'{PROBLEM_JSON}'",
                            "method.response.header.Cache-Control": "'no-store'",
                        },
                    )
                ],
            ),
            operation_name="unknown-endpoint",
            authorization_type=apigateway.AuthorizationType.IAM,
            api_key_required=True,
            method_responses=[
                apigateway.MethodResponse(
                    status_code=str(int(status)),
                    response_parameters={
                        "method.response.header.Content-Type": True,
                        "method.response.header.Cache-Control": True,
                    },
                )
            ],
        )

    def _throttle(self, endpoint: Endpoint, verb: str) -> Throttle:
        return self._stage.outcomes_throttle if verb == OUTCOMES else endpoint.throttle

    def _usage_plan(self, methods: Mapping[tuple[str, str], apigateway.Method]) -> apigateway.IApiKey:
        key = self.api.add_api_key("Key", description=f"Quicksilver {self._stage.name}: the decision engine")
        plan = self.api.add_usage_plan(
            "Usage",
            description=f"Quicksilver {self._stage.name}: what one API key may send",
            throttle=_settings(self._stage.client_throttle),
            quota=_a_day(self._stage.client_requests_per_day),
        )
        plan.add_api_key(key)
        plan.add_api_stage(
            stage=self.api.deployment_stage,
            throttle=[
                apigateway.ThrottlingPerMethod(
                    method=methods[endpoint.name, verb], throttle=_settings(self._throttle(endpoint, verb))
                )
                for endpoint in self._stage.endpoints
                for verb in OPERATIONS
            ],
        )
        return key


def _a_day(requests: int | None) -> apigateway.QuotaSettings | None:
    return (
        None if requests is None else apigateway.QuotaSettings(limit=requests, period=apigateway.Period.DAY)
    )


def _settings(throttle: Throttle) -> apigateway.ThrottleSettings:
    return apigateway.ThrottleSettings(rate_limit=throttle.rate_per_second, burst_limit=throttle.burst)
