"""CodeDeploy and Lambda as the hooks call them, when they say no. botocore's Stubber speaks for AWS and checks each call."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from quicksilver.aws.codedeploy_deployments import CodeDeployDeployments
from quicksilver.aws.lambda_function_versions import LambdaFunctionVersions
from quicksilver.aws.lambda_provisioned_concurrency import LambdaProvisionedConcurrency
from quicksilver.code_release.deployment import Deployment, HookEvent
from quicksilver.code_release.provisioned import Provisioned, ProvisionedStatus
from quicksilver.errors import ReleaseRefused, Unavailable

APPSPEC = json.dumps(
    {
        "version": "0.0",
        "Resources": [
            {
                "score": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "Name": "score",
                        "Alias": "live",
                        "CurrentVersion": "41",
                        "TargetVersion": "42",
                    },
                }
            }
        ],
    }
)
HOOK = HookEvent(DeploymentId="d-1", LifecycleEventHookExecutionId="e-1")


def stubbed(service: str) -> tuple[Any, Stubber]:
    client = boto3.client(
        service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


@pytest.mark.parametrize("kind", ["string", "appSpecContent"])
def test_a_deployment_that_has_its_appspec_with_it_is_read_at_once(kind: str) -> None:
    client, stub = stubbed("codedeploy")
    info = {"applicationName": "releases", "revision": {kind: {"content": APPSPEC}}}
    stub.add_response("get_deployment", {"deploymentInfo": info}, {"deploymentId": "d-1"})
    assert CodeDeployDeployments(client).deployment("d-1") == Deployment("score", "live", "41", "42")
    stub.assert_no_pending_responses()


def test_a_deployment_that_names_its_appspec_by_hash_has_it_with_its_application() -> None:
    client, stub = stubbed("codedeploy")
    revision = {"revisionType": "String", "string": {"sha256": "ab"}}
    info = {"applicationName": "releases", "revision": revision}
    stub.add_response("get_deployment", {"deploymentInfo": info}, {"deploymentId": "d-1"})
    stub.add_response(
        "get_application_revision",
        {"revision": {"revisionType": "String", "string": {"content": APPSPEC}}},
        {"applicationName": "releases", "revision": revision},
    )
    assert CodeDeployDeployments(client).deployment("d-1").target == "42"


def test_a_deployment_without_an_appspec_or_out_of_reach_is_refused() -> None:
    client, stub = stubbed("codedeploy")
    info = {"applicationName": "releases", "revision": {"revisionType": "S3"}}
    stub.add_response("get_deployment", {"deploymentInfo": info})
    stub.add_response("get_application_revision", {"revision": {"revisionType": "S3"}})
    with pytest.raises(ReleaseRefused, match="has no AppSpec"):
        CodeDeployDeployments(client).deployment("d-1")
    stub.add_client_error("get_deployment", "ThrottlingException")
    with pytest.raises(Unavailable, match="ThrottlingException"):
        CodeDeployDeployments(client).deployment("d-1")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"TargetVersion": "$LATEST"}, "TargetVersion"),
        ({"TargetVersion": "0"}, "TargetVersion"),
        ({"CurrentVersion": "live"}, "CurrentVersion"),
        ({"Name": ""}, "Name"),
    ],
)
def test_an_appspec_is_held_to_two_published_function_versions(change: dict[str, str], place: str) -> None:
    content = json.loads(APPSPEC)
    content["Resources"][0]["score"]["Properties"] |= change
    with pytest.raises(ReleaseRefused, match=rf"does not move a Lambda alias: .*{place}"):
        Deployment.from_appspec(json.dumps(content))


@pytest.mark.parametrize("content", ["", "[]", "null", '{"Resources": [{}]}', '{"Resources": [{}, {}]}', "{"])
def test_anything_else_is_no_appspec(content: str) -> None:
    with pytest.raises(ReleaseRefused, match="The deployment's AppSpec"):
        Deployment.from_appspec(content)


@pytest.mark.parametrize(("succeeded", "status"), [(True, "Succeeded"), (False, "Failed")])
def test_codedeploy_is_told_in_its_own_words(succeeded: bool, status: str) -> None:
    client, stub = stubbed("codedeploy")
    told = {"deploymentId": "d-1", "lifecycleEventHookExecutionId": "e-1", "status": status}
    stub.add_response("put_lifecycle_event_hook_execution_status", {}, told)
    CodeDeployDeployments(client).report(HOOK, succeeded=succeeded)
    stub.assert_no_pending_responses()


def test_an_answer_that_is_not_taken_is_an_error_unless_it_was_given_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, stub = stubbed("codedeploy")
    report = "put_lifecycle_event_hook_execution_status"
    stub.add_client_error(report, "LifecycleEventAlreadyCompletedException")
    CodeDeployDeployments(client).report(HOOK, succeeded=True)
    stub.add_client_error(report, "ThrottlingException")
    with pytest.raises(Unavailable, match="ThrottlingException"):
        CodeDeployDeployments(client).report(HOOK, succeeded=True)

    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://codedeploy")

    monkeypatch.setattr(client, report, unreachable)
    with pytest.raises(Unavailable, match="cannot be told"):
        CodeDeployDeployments(client).report(HOOK, succeeded=True)


def payload(data: bytes) -> StreamingBody:
    return StreamingBody(BytesIO(data), len(data))


def test_a_function_version_is_asked_by_its_own_number() -> None:
    client, stub = stubbed("lambda")
    asked = {"FunctionName": "score", "Qualifier": "42", "Payload": b'{"check": 1}'}
    stub.add_response("invoke", {"StatusCode": 200, "Payload": payload(b'{"route": 7}')}, asked)
    assert LambdaFunctionVersions(client).ask("score", "42", {"check": 1}) == {"route": 7}


def test_a_function_version_that_fails_is_named_with_the_kind_of_error_alone() -> None:
    client, stub = stubbed("lambda")
    failed = payload(b'{"errorType": "KeyError", "errorMessage": "4111 is secret"}')
    stub.add_response("invoke", {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": failed})
    with pytest.raises(Unavailable) as error:
        LambdaFunctionVersions(client).ask("score", "42", {})
    assert str(error.value) == "Function version 42 failed: KeyError."
    stub.add_response("invoke", {"StatusCode": 200, "Payload": payload(b"<html>")})
    with pytest.raises(Unavailable, match="no JSON"):
        LambdaFunctionVersions(client).ask("score", "42", {})
    stub.add_client_error("invoke", "TooManyRequestsException")
    with pytest.raises(Unavailable, match="TooManyRequestsException"):
        LambdaFunctionVersions(client).ask("score", "42", {})


@pytest.mark.parametrize(
    ("alias", "shares"),
    [
        ({"FunctionVersion": "41"}, {"41": 1.0}),
        (
            {"FunctionVersion": "41", "RoutingConfig": {"AdditionalVersionWeights": {"42": 0.25}}},
            {"41": 0.75, "42": 0.25},
        ),
        ({"FunctionVersion": "41", "RoutingConfig": {"AdditionalVersionWeights": {"42": 1.0}}}, {"42": 1.0}),
        ({"FunctionVersion": "42", "RoutingConfig": {}}, {"42": 1.0}),
    ],
)
def test_an_alias_says_who_gets_its_traffic(alias: dict[str, Any], shares: dict[str, float]) -> None:
    client, stub = stubbed("lambda")
    stub.add_response("get_alias", alias, {"FunctionName": "score", "Name": "live"})
    assert LambdaFunctionVersions(client).shares("score", "live") == shares
    stub.add_client_error("get_alias", "AccessDeniedException")
    with pytest.raises(Unavailable, match="AccessDeniedException"):
        LambdaFunctionVersions(client).shares("score", "live")


def test_provisioned_concurrency_is_read_put_and_released_by_function_version() -> None:
    client, stub = stubbed("lambda")
    concurrency = LambdaProvisionedConcurrency(client)
    one = {"FunctionName": "score", "Qualifier": "42"}
    stub.add_client_error(
        "get_provisioned_concurrency_config", "ProvisionedConcurrencyConfigNotFoundException"
    )
    assert concurrency.of("score", "42") is None
    stub.add_response("put_provisioned_concurrency_config", {}, {**one, "ProvisionedConcurrentExecutions": 3})
    concurrency.put("score", "42", 3)
    stub.add_response(
        "get_provisioned_concurrency_config", {"Status": "FAILED", "StatusReason": "it fails"}, one
    )
    assert concurrency.of("score", "42") == Provisioned(ProvisionedStatus.FAILED, "it fails")
    stub.add_response("delete_provisioned_concurrency_config", {}, one)
    concurrency.release("score", "42")
    stub.assert_no_pending_responses()


def test_an_alias_with_provisioned_concurrency_is_not_taken_for_a_function_version() -> None:
    client, stub = stubbed("lambda")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:score"
    page = [{"FunctionArn": f"{arn}:{qualifier}"} for qualifier in ("41", "live")]
    listed = "list_provisioned_concurrency_configs"
    stub.add_response(listed, {"ProvisionedConcurrencyConfigs": page, "NextMarker": "more"})
    stub.add_response(listed, {"ProvisionedConcurrencyConfigs": [{"FunctionArn": f"{arn}:42"}]})
    assert LambdaProvisionedConcurrency(client).versions("score") == ["41", "42"]


@pytest.mark.parametrize("call", ["of", "put", "release", "versions"])
def test_provisioned_concurrency_that_is_out_of_reach_is_said_so(call: str) -> None:
    client, stub = stubbed("lambda")
    concurrency = LambdaProvisionedConcurrency(client)
    operation = {"of": "get", "put": "put", "release": "delete", "versions": "list"}[call]
    more = "s" if call == "versions" else ""
    stub.add_client_error(f"{operation}_provisioned_concurrency_config{more}", "TooManyRequestsException")
    arguments: list[Any] = {"put": ["score", "42", 1], "versions": ["score"]}.get(call, ["score", "42"])
    with pytest.raises(Unavailable, match="TooManyRequestsException"):
        getattr(concurrency, call)(*arguments)
