"""The firewall before both APIs: what it blocks, what it only counts, and that it keeps nothing of a body."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st

from quicksilver.registry_operation import MAX_BODY_BYTES as REGISTRY_BYTES
from quicksilver.request import MAX_BATCH_BYTES, MAX_BODY_BYTES
from stacks.constructs.firewall import larger_than
from tests.infrastructure.conftest import Synthesized

STACKS = ("scoring", "control")


def acl(synthesized: Synthesized, stack: str) -> Mapping[str, Any]:
    (found,) = synthesized.of_type("AWS::WAFv2::WebACL", stack).values()
    properties: Mapping[str, Any] = found["Properties"]
    return properties


def rules(synthesized: Synthesized, stack: str) -> dict[str, Mapping[str, Any]]:
    return {rule["Name"]: rule for rule in acl(synthesized, stack)["Rules"]}


@pytest.mark.parametrize("stack", STACKS)
def test_each_api_of_a_stage_on_aws_is_behind_a_firewall_of_its_own(
    aws_stage: Synthesized, stack: str
) -> None:
    (association,) = aws_stage.of_type("AWS::WAFv2::WebACLAssociation", stack).values()
    ((stage, _),) = aws_stage.of_type("AWS::ApiGateway::Stage", stack).items()
    assert {"Ref": stage} in association["Properties"]["ResourceArn"]["Fn::Join"][1]
    assert acl(aws_stage, stack)["Scope"] == "REGIONAL"
    assert acl(aws_stage, stack)["Name"] == f"quicksilver-{aws_stage.stage.name}-{stack}"


def test_an_emulated_stage_has_none(local: Synthesized) -> None:
    assert [item for item in local.resources.values() if item["Type"].startswith("AWS::WAFv2::")] == []


@pytest.mark.parametrize("stack", STACKS)
def test_a_flood_of_one_address_is_answered_429_as_the_gateway_does(
    aws_stage: Synthesized, stack: str
) -> None:
    firewall = aws_stage.stage.firewall
    assert firewall is not None
    flood = rules(aws_stage, stack)["Flood"]
    limit = firewall.scoring_per_minute if stack == "scoring" else firewall.registry_per_minute
    assert flood["Statement"]["RateBasedStatement"] == {
        "AggregateKeyType": "IP",
        "Limit": limit,
        "EvaluationWindowSec": 60,
    }
    assert flood["Action"]["Block"]["CustomResponse"] == {
        "ResponseCode": 429,
        "CustomResponseBodyKey": "TooMany",
        "ResponseHeaders": [{"Name": "Retry-After", "Value": "1"}],
    }


@pytest.mark.parametrize("stack", STACKS)
def test_what_a_rule_of_ours_says_is_a_problem_of_its_status(aws_stage: Synthesized, stack: str) -> None:
    said = acl(aws_stage, stack)["CustomResponseBodies"]
    for rule in rules(aws_stage, stack).values():
        if response := rule.get("Action", {}).get("Block", {}).get("CustomResponse"):
            problem = json.loads(said[response["CustomResponseBodyKey"]]["Content"])
            assert problem["status"] == response["ResponseCode"]
            assert {"type", "title", "detail"} < problem.keys()


def size_limits(synthesized: Synthesized, stack: str) -> dict[str, Mapping[str, Any]]:
    """The statements that find a body too large, by the end of the path."""
    found = {}
    for name, rule in rules(synthesized, stack).items():
        if name.startswith("Body"):
            statement, end = rule["Statement"], ""
            assert rule["Action"]["Block"]["CustomResponse"]["ResponseCode"] == 413
            if "AndStatement" in statement:
                path, statement = statement["AndStatement"]["Statements"]
                assert path["ByteMatchStatement"]["PositionalConstraint"] == "ENDS_WITH"
                end = path["ByteMatchStatement"]["SearchString"]
            found[end] = statement
    return found


def test_a_decisions_body_is_bound_by_its_bytes_as_the_function_binds_it(aws_stage: Synthesized) -> None:
    limit = size_limits(aws_stage, "scoring")["/score"]["SizeConstraintStatement"]
    assert (limit["ComparisonOperator"], limit["Size"]) == ("GT", MAX_BODY_BYTES)
    # Beyond what the firewall is handed, a body is larger than that, and that is not less than what is allowed.
    assert limit["FieldToMatch"] == {"Body": {"OversizeHandling": "MATCH"}}
    inspected = acl(aws_stage, "scoring")["AssociationConfig"]["RequestBody"]["API_GATEWAY"]
    assert inspected == {"DefaultSizeInspectionLimit": f"KB_{MAX_BODY_BYTES // 1024}"}


@pytest.mark.parametrize(
    ("stack", "end", "most"),
    [
        ("scoring", "/score-batch", MAX_BATCH_BYTES),
        ("scoring", "/outcomes", MAX_BATCH_BYTES),
        ("control", "", REGISTRY_BYTES),
    ],
)
def test_a_larger_body_is_bound_by_what_its_sender_says_of_it(
    aws_stage: Synthesized, stack: str, end: str, most: int
) -> None:
    limit = size_limits(aws_stage, stack)[end]["RegexMatchStatement"]
    assert limit["FieldToMatch"] == {"SingleHeader": {"Name": "content-length"}}
    assert not re.search(limit["RegexString"], str(most))
    assert re.search(limit["RegexString"], str(most + 1))


@given(st.integers(1, 10**9), st.integers(0, 10**10), st.integers(0, 3))
def test_a_number_is_found_larger_exactly_when_it_is(number: int, other: int, zeros: int) -> None:
    pattern = re.compile(larger_than(number))
    for each in (other, number - 1, number, number + 1, number * 10):
        assert bool(pattern.search("0" * zeros + str(each))) == (each > number)


def test_the_expression_is_one_that_aws_waf_takes() -> None:
    # At most 512 characters, and no group that captures: developerguide/waf-regex-pattern-support.html and limits.html.
    for number in (MAX_BATCH_BYTES, REGISTRY_BYTES, 1, 10**9):
        pattern = larger_than(number)
        assert len(pattern) <= 512
        assert re.compile(pattern).groups == 0


@pytest.mark.parametrize("stack", STACKS)
def test_the_groups_that_aws_keeps_block_but_for_what_they_find_in_a_body(
    aws_stage: Synthesized, stack: str
) -> None:
    managed = {
        rule["Statement"]["ManagedRuleGroupStatement"]["Name"]: rule
        for rule in rules(aws_stage, stack).values()
        if "ManagedRuleGroupStatement" in rule["Statement"]
    }
    assert set(managed) == {
        "AWSManagedRulesAmazonIpReputationList",
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
    }
    counted: set[str] = set()
    for rule in managed.values():
        assert rule["OverrideAction"] == {"None": {}}
        for override in rule["Statement"]["ManagedRuleGroupStatement"].get("RuleActionOverrides", []):
            assert override["ActionToUse"] == {"Count": {}}
            counted.add(override["Name"])
    assert {"SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericRFI_BODY"} < counted
    assert all(name.endswith("_BODY") for name in counted)


@pytest.mark.parametrize("stack", STACKS)
def test_each_rule_has_its_own_place_and_metric_and_no_samples(aws_stage: Synthesized, stack: str) -> None:
    every = acl(aws_stage, stack)["Rules"]
    assert [rule["Priority"] for rule in every] == list(range(len(every)))
    seen = [acl(aws_stage, stack)["VisibilityConfig"], *(rule["VisibilityConfig"] for rule in every)]
    assert len({config["MetricName"] for config in seen}) == len(seen)
    assert all(config["CloudWatchMetricsEnabled"] for config in seen)
    assert not any(config["SampledRequestsEnabled"] for config in seen)


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_blocked_is_logged_without_secrets_and_without_what_a_body_said(
    aws_stage: Synthesized, stack: str
) -> None:
    (logging,) = aws_stage.of_type("AWS::WAFv2::LoggingConfiguration", stack).values()
    properties = logging["Properties"]
    assert {field["SingleHeader"]["Name"] for field in properties["RedactedFields"]} == {
        "authorization",
        "x-amz-security-token",
        "x-api-key",
        "idempotency-key",
    }
    drop, keep = properties["LoggingFilter"]["Filters"]
    assert properties["LoggingFilter"]["DefaultBehavior"] == drop["Behavior"] == "DROP"
    # A match of this rule is logged with the words that matched.
    (label,) = drop["Conditions"]
    assert label["LabelNameCondition"]["LabelName"].endswith(":CrossSiteScripting_Body")
    assert (keep["Behavior"], keep["Conditions"]) == ("KEEP", [{"ActionCondition": {"Action": "BLOCK"}}])


@pytest.mark.parametrize("stack", STACKS)
def test_the_log_has_the_name_that_aws_waf_asks_for_and_our_key(aws_stage: Synthesized, stack: str) -> None:
    name = f"aws-waf-logs-quicksilver-{aws_stage.stage.name}-{stack}"
    ((id, group),) = (
        (id, item)
        for id, item in aws_stage.of_type("AWS::Logs::LogGroup", stack).items()
        if item["Properties"].get("LogGroupName") == name
    )
    assert "KmsKeyId" in group["Properties"]
    assert group["DeletionPolicy"] == "RetainExceptOnCreate"
    (logging,) = aws_stage.of_type("AWS::WAFv2::LoggingConfiguration", stack).values()
    (destination,) = logging["Properties"]["LogDestinationConfigs"]
    assert destination["Fn::Join"][1][-2:] == [":log-group:", {"Ref": id}]


def test_the_key_lets_logs_of_firewalls_in(aws_stage: Synthesized) -> None:
    text = json.dumps(aws_stage.data)
    assert f"log-group:aws-waf-logs-quicksilver-{aws_stage.stage.name}-*" in text
    assert f"log-group:quicksilver-{aws_stage.stage.name}-*" in text
