"""The APIs: signed, throttled, silent about payloads, and one form for every refusal."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from quicksilver.request import ScoreRequest
from stacks.constructs.request_model import draft_4
from tests.infrastructure.conftest import Synthesized


def path_of(synthesized: Synthesized, resource: str) -> str:
    """The path of an API resource, from its parents."""
    properties = synthesized.resources[resource]["Properties"]
    parent = properties["ParentId"].get("Ref")
    return (path_of(synthesized, parent) if parent else "") + f"/{properties['PathPart']}"


def methods(synthesized: Synthesized, stack: str = "scoring") -> dict[str, Mapping[str, Any]]:
    """A stack's methods, by verb and path."""
    return {
        f"{item['Properties']['HttpMethod']} {path_of(synthesized, item['Properties']['ResourceId']['Ref'])}": item[
            "Properties"
        ]
        for item in synthesized.of_type("AWS::ApiGateway::Method", stack).values()
    }


SCORING = ("score", "score-batch")
VERBS = (*SCORING, "outcomes")


def test_there_are_routes_per_endpoint_and_some_for_any_other_name(every_stage: Synthesized) -> None:
    names = ("card-fraud", "credit-line", "{endpoint}")
    assert set(methods(every_stage)) == {f"POST /v1/{name}/{verb}" for name in names for verb in VERBS}


def test_every_method_of_every_api_needs_a_signature(every_stage: Synthesized) -> None:
    for name, method in {**methods(every_stage), **methods(every_stage, "control")}.items():
        assert method["AuthorizationType"] == "AWS_IAM", name


def test_scoring_needs_an_api_key_too(every_stage: Synthesized) -> None:
    for name, method in methods(every_stage).items():
        assert method["ApiKeyRequired"] is True, name


def test_each_route_invokes_the_live_alias_of_its_own_endpoint(every_stage: Synthesized) -> None:
    aliases = every_stage.of_type("AWS::Lambda::Alias")
    found = methods(every_stage)
    for endpoint, verb in itertools.product(every_stage.stage.endpoints, SCORING):
        integration = found[f"POST /v1/{endpoint.name}/{verb}"]["Integration"]
        assert integration["Type"] == "AWS_PROXY"
        (alias,) = [part["Ref"] for part in integration["Uri"]["Fn::Join"][1] if part_is_alias(part, aliases)]
        function = aliases[alias]["Properties"]["FunctionName"]["Ref"]
        assert every_stage.resources[function]["Properties"]["FunctionName"].endswith(
            f"-score-{endpoint.name}"
        )


def test_outcomes_of_every_endpoint_go_to_the_one_function_that_takes_them(every_stage: Synthesized) -> None:
    function, _ = every_stage.named("AWS::Lambda::Function", "Outcomes")
    for endpoint in every_stage.stage.endpoints:
        integration = methods(every_stage)[f"POST /v1/{endpoint.name}/outcomes"]["Integration"]
        assert integration["Type"] == "AWS_PROXY"
        assert {"Fn::GetAtt": [function, "Arn"]} in integration["Uri"]["Fn::Join"][1]


def part_is_alias(part: object, aliases: Mapping[str, Any]) -> bool:
    return isinstance(part, dict) and part.get("Ref") in aliases


def test_the_gateway_may_invoke_each_function_on_its_own_routes_only(every_stage: Synthesized) -> None:
    allowed = [
        item["Properties"]
        for item in every_stage.of_type("AWS::Lambda::Permission", "scoring").values()
        if item["Properties"]["Principal"] == "apigateway.amazonaws.com"
    ]
    ends = sorted(permission["SourceArn"]["Fn::Join"][1][-1] for permission in allowed)
    assert ends == sorted(f"/POST/v1/{e.name}/{verb}" for e in every_stage.stage.endpoints for verb in VERBS)
    outcomes, _ = every_stage.named("AWS::Lambda::Function", "Outcomes")
    for permission in allowed:
        takes_outcomes = permission["SourceArn"]["Fn::Join"][1][-1].endswith("/outcomes")
        invoked = permission["FunctionName"]
        assert invoked == {"Fn::GetAtt": [outcomes, "Arn"]} if takes_outcomes else "Ref" in invoked
    assert {invoked["Ref"] for p in allowed if "Ref" in (invoked := p["FunctionName"])} == set(
        every_stage.of_type("AWS::Lambda::Alias")
    )


def test_an_unknown_endpoint_is_a_404_problem_from_the_gateway_itself(every_stage: Synthesized) -> None:
    integration = methods(every_stage)["POST /v1/{endpoint}/score"]["Integration"]
    assert integration["Type"] == "MOCK"
    assert json.loads(integration["RequestTemplates"]["application/json"]) == {"statusCode": 404}
    (answer,) = integration["IntegrationResponses"]
    problem = json.loads(answer["ResponseTemplates"]["application/json"])
    assert answer["StatusCode"] == "404"
    assert answer["ResponseParameters"]["method.response.header.Content-Type"] == "'application/problem+json'"
    assert problem["status"] == 404
    assert [item["field"] for item in problem["errors"]] == ["endpoint"]


def test_every_refusal_of_the_gateway_is_a_problem_that_states_its_own_status(
    every_stage: Synthesized,
) -> None:
    answers = every_stage.of_type("AWS::ApiGateway::GatewayResponse").values()
    for answer in answers:
        properties = answer["Properties"]
        problem = json.loads(properties["ResponseTemplates"]["application/json"])
        assert {"type", "title", "status", "detail"} <= set(problem)
        assert str(problem["status"]) == properties["StatusCode"]
        content_type = properties["ResponseParameters"]["gatewayresponse.header.Content-Type"]
        assert content_type == "'application/problem+json'"
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "BAD_REQUEST_BODY", "REQUEST_TOO_LARGE", "THROTTLED"} <= {
        answer["Properties"]["ResponseType"] for answer in answers
    }


def test_a_throttled_caller_is_told_when_to_come_back(every_stage: Synthesized) -> None:
    refusals = [
        item["Properties"]
        for item in every_stage.of_type("AWS::ApiGateway::GatewayResponse").values()
        if item["Properties"]["ResponseType"] == "THROTTLED"
    ]
    assert len(refusals) == 2
    for throttled in refusals:
        assert throttled["StatusCode"] == "429"
        assert throttled["ResponseParameters"]["gatewayresponse.header.Retry-After"] == "'1'"


def test_the_access_log_holds_no_payload(every_stage: Synthesized) -> None:
    stages = every_stage.of_type("AWS::ApiGateway::Stage").values()
    assert len(stages) == 2
    for stage in stages:
        properties = stage["Properties"]
        line = json.loads(properties["AccessLogSetting"]["Format"])
        assert all(value.startswith("$context.") for value in line.values())
        # What a caller typed is in none of these: resourcePath is the template of the route, where path has the path, and no query,
        # header or path parameter can be named there at all.
        assert set(line.values()) == {
            f"$context.{name}"
            for name in (
                "requestId",
                "extendedRequestId",
                "requestTimeEpoch",
                "identity.userArn",
                "identity.apiKeyId",
                "httpMethod",
                "resourcePath",
                "status",
                "error.responseType",
                "responseLatency",
                "integrationLatency",
                "responseLength",
            )
        }
        assert [item for item in properties["MethodSettings"] if item.get("DataTraceEnabled")] == []


def test_each_endpoint_has_its_own_throttle_for_one_key_and_for_all(every_stage: Synthesized) -> None:
    (stage,) = every_stage.of_type("AWS::ApiGateway::Stage", "scoring").values()
    (plan,) = every_stage.of_type("AWS::ApiGateway::UsagePlan").values()
    settings = {
        item["ResourcePath"].removeprefix("/").replace("~1", "/"): (
            item["ThrottlingRateLimit"],
            item["ThrottlingBurstLimit"],
        )
        for item in stage["Properties"]["MethodSettings"]
        if item["ResourcePath"] != "/*"
    }
    (planned,) = plan["Properties"]["ApiStages"]
    per_key = {name: (item["RateLimit"], item["BurstLimit"]) for name, item in planned["Throttle"].items()}
    for endpoint, verb in itertools.product(every_stage.stage.endpoints, VERBS):
        throttle = every_stage.stage.outcomes_throttle if verb == "outcomes" else endpoint.throttle
        expected = (throttle.rate_per_second, throttle.burst)
        assert settings[f"/v1/{endpoint.name}/{verb}"] == expected
        assert per_key[f"/v1/{endpoint.name}/{verb}/POST"] == expected
    client = every_stage.stage.client_throttle
    assert plan["Properties"]["Throttle"] == {"RateLimit": client.rate_per_second, "BurstLimit": client.burst}


# --- the registry's API ---------------------------------------------------------------------------------------


def test_one_method_leads_every_request_to_the_registry_function(every_stage: Synthesized) -> None:
    ((path, method),) = methods(every_stage, "control").items()
    function, _ = every_stage.named("AWS::Lambda::Function", "RegistryHandler")
    assert path == "ANY /v1/registry/{proxy+}"
    assert method["Integration"]["Type"] == "AWS_PROXY"
    assert {"Fn::GetAtt": [function, "Arn"]} in method["Integration"]["Uri"]["Fn::Join"][1]
    (permission,) = (
        permission
        for permission in every_stage.of_type("AWS::Lambda::Permission", "control").values()
        if permission["Properties"]["FunctionName"] == {"Fn::GetAtt": [function, "Arn"]}
    )
    assert permission["Properties"]["SourceArn"]["Fn::Join"][1][-1] == "/*/v1/registry/*"


def test_the_registry_has_a_throttle_of_its_own_and_no_api_key(every_stage: Synthesized) -> None:
    (stage,) = every_stage.of_type("AWS::ApiGateway::Stage", "control").values()
    (settings,) = stage["Properties"]["MethodSettings"]
    throttle = every_stage.stage.registry_throttle
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (
        throttle.rate_per_second,
        throttle.burst,
    )
    # Fifty writers at once is what the registry promises to take.
    assert throttle.burst >= 50
    assert not any(method.get("ApiKeyRequired") for method in methods(every_stage, "control").values())


def test_only_the_scoring_api_sets_the_accounts_logging_role_and_it_comes_first(
    aws_stage: Synthesized,
) -> None:
    assert set(aws_stage.of_type("AWS::ApiGateway::Account")) == set(
        aws_stage.of_type("AWS::ApiGateway::Account", "scoring")
    )
    manifest = json.loads((aws_stage.folder / "manifest.json").read_text())
    stage = aws_stage.stage.name
    needed = manifest["artifacts"][f"quicksilver-{stage}-control"]["dependencies"]
    assert f"quicksilver-{stage}-scoring" in needed


def test_where_the_registry_is_found_are_outputs(every_stage: Synthesized) -> None:
    assert {"RegistryApiUrl", "RegistryApiId", "RegistryFunction"} <= set(every_stage.control["Outputs"])


# --- the request model -----------------------------------------------------------------------------------------


def deployed_schema(synthesized: Synthesized, name: str = "ScoreRequest") -> dict[str, Any]:
    models = synthesized.of_type("AWS::ApiGateway::Model").values()
    (schema,) = [model["Properties"]["Schema"] for model in models if model["Properties"]["Name"] == name]
    return dict(schema)


def test_each_method_names_its_request_model(every_stage: Synthesized) -> None:
    models = {
        model["Properties"]["Name"]: id for id, model in every_stage.of_type("AWS::ApiGateway::Model").items()
    }
    named = {
        "score": models["ScoreRequest"],
        "score-batch": models["BatchRequest"],
        "outcomes": models["OutcomesRequest"],
    }
    for endpoint, verb in itertools.product(every_stage.stage.endpoints, VERBS):
        method = methods(every_stage)[f"POST /v1/{endpoint.name}/{verb}"]
        assert method["RequestModels"] == {"application/json": {"Ref": named[verb]}}


def test_the_batch_model_bounds_the_rows_as_the_function_does(every_stage: Synthesized) -> None:
    rows = deployed_schema(every_stage, "BatchRequest")["properties"]["rows"]
    assert (rows["type"], rows["minItems"], rows["maxItems"]) == ("array", 1, 500)
    outcomes = deployed_schema(every_stage, "OutcomesRequest")["properties"]["outcomes"]
    assert (outcomes["minItems"], outcomes["maxItems"]) == (1, 5_000)


def test_the_request_model_refuses_what_the_function_refuses(every_stage: Synthesized) -> None:
    schema = deployed_schema(every_stage)
    assert schema["$schema"] == "http://json-schema.org/draft-04/schema#"
    assert schema["type"] == "object"
    assert schema["required"] == ["entity_id"]
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == ScoreRequest.model_fields.keys()
    assert (
        schema["properties"]["entity_id"].items()
        >= {"type": "string", "minLength": 1, "maxLength": 128}.items()
    )
    (values,) = schema["properties"]["features"]["patternProperties"].values()
    assert values == {"type": ["number", "string", "boolean", "null"]}


def test_a_schema_is_said_in_the_words_of_draft_4() -> None:
    assert draft_4(
        {
            "$defs": {"Share": {"type": "number", "exclusiveMinimum": 0, "examples": [1]}},
            "properties": {"const": {"const": "a"}, "share": {"$ref": "#/$defs/Share"}},
            "items": {"anyOf": [{"exclusiveMaximum": 9}, {"type": "null"}]},
        }
    ) == {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "definitions": {"Share": {"type": "number", "minimum": 0, "exclusiveMinimum": True}},
        "properties": {"const": {"enum": ["a"]}, "share": {"$ref": "#/definitions/Share"}},
        "items": {"anyOf": [{"maximum": 9, "exclusiveMaximum": True}, {"type": "null"}]},
    }


def test_what_draft_4_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="prefixItems"):
        draft_4({"items": {"prefixItems": [{"type": "string"}]}})
