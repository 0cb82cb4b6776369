"""The rollout function: each minute, allowed one call of the registry's API, and heard of when it does not look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.infrastructure.conftest import Synthesized
from tests.infrastructure.test_functions import environment, functions, statements

ROLE = "RolloutHandlerRole"


def allowed(synthesized: Synthesized) -> dict[str, list[Mapping[str, Any]]]:
    """The statements of the function's role, by the verb they allow."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for role, statement in statements(synthesized):
        if role[:-8] == ROLE:
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                found.setdefault(action, []).append(statement)
    return found


def test_it_runs_every_minute_and_is_not_retried_in_between(every_stage: Synthesized) -> None:
    (rule,) = every_stage.of_type("AWS::Events::Rule", "control").values()
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    (target,) = rule["Properties"]["Targets"]
    assert target["Arn"]["Fn::GetAtt"][0].startswith("RolloutHandler")
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert functions(every_stage)["rollout"]["Properties"]["Timeout"] < 60


def test_it_may_call_the_decision_of_each_endpoint_of_its_stage_and_no_other_path(
    every_stage: Synthesized,
) -> None:
    (statement,) = allowed(every_stage)["execute-api:Invoke"]
    api, _ = every_stage.named("AWS::ApiGateway::RestApi", "RegistryApiRest")
    paths = set()
    for resource in statement["Resource"]:
        parts = resource["Fn::Join"][1]
        assert {"Ref": api} in parts
        paths.add(parts[-1])
    stage = every_stage.stage
    assert paths == {
        f"/{stage.name}/POST/v1/registry/{endpoint.name}/rollout/decision" for endpoint in stage.endpoints
    }


def test_it_only_reads_the_registry_and_the_rollup_and_writes_the_cursor_alone(
    every_stage: Synthesized,
) -> None:
    (writing,) = allowed(every_stage)["dynamodb:PutItem"]
    assert "Announcements" in json.dumps(writing["Resource"])
    read = json.dumps([statement["Resource"] for statement in allowed(every_stage)["dynamodb:Query"]])
    assert "Registry" in read
    assert "Rollup" in read


def test_it_tells_the_bus_of_nothing_but_ourselves(every_stage: Synthesized) -> None:
    (statement,) = allowed(every_stage)["events:PutEvents"]
    assert statement["Condition"] == {"StringEquals": {"events:source": "quicksilver"}}
    assert statement["Resource"]["Fn::Join"][1][-1] == ":event-bus/default"
    assert environment(functions(every_stage)["rollout"])["QUICKSILVER_EVENT_BUS"] == "default"


def test_it_is_told_every_endpoint_of_its_stage(every_stage: Synthesized) -> None:
    told = environment(functions(every_stage)["rollout"])["QUICKSILVER_ENDPOINTS"]
    assert json.loads(told) == [endpoint.name for endpoint in every_stage.stage.endpoints]


def test_announcements_are_encrypted_by_our_key_and_taken_over_tls_only(every_stage: Synthesized) -> None:
    ((name, topic),) = every_stage.of_type("AWS::SNS::Topic", "control").items()
    assert "ModelsKey" in json.dumps(topic["Properties"]["KmsMasterKeyId"])
    (policy,) = every_stage.of_type("AWS::SNS::TopicPolicy", "control").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "sns:Publish")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    (publishing,) = allowed(every_stage)["sns:Publish"]
    assert publishing["Resource"] == {"Ref": name}


def test_a_failed_look_an_announcement_not_taken_and_nobody_looking_ring(aws_stage: Synthesized) -> None:
    alarms = {
        alarm["Properties"]["MetricName"]: alarm["Properties"]
        for alarm in aws_stage.of_type("AWS::CloudWatch::Alarm", "control").values()
        if {"Name": "service", "Value": "rollout"} in alarm["Properties"]["Dimensions"]
    }
    assert set(alarms) == {"RolloutLookFailed", "AnnouncementsFailed", "RolloutLooks"}
    for alarm in alarms.values():
        # Exactly the dimension it is counted with (bootstrap/emf.py), or it would never ring.
        assert (len(alarm["Dimensions"]), alarm["Namespace"], alarm["Threshold"]) == (1, "Quicksilver", 1)
    looks = alarms["RolloutLooks"]
    assert (looks["ComparisonOperator"], looks["Period"]) == ("LessThanThreshold", 300)
    assert looks["TreatMissingData"] == "breaching"
    assert alarms["RolloutLookFailed"]["TreatMissingData"] == "notBreaching"
