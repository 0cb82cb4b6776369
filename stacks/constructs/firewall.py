"""AWS WAF in front of one API: floods of one address, bodies that no function takes, and what AWS knows to be hostile.

What is found in a body is counted and lets nothing be refused: a body holds what strangers typed (a shop's name, a device's
label), and who may make a decision fail by typing ``<script>`` has found a way around it. Bodies are the functions' to judge
(docs/adr/0005-bodies-are-validated-once-in-the-function.md). Nothing of a body is logged or sampled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aws_cdk import ArnFormat, Stack, aws_apigateway as apigateway, aws_kms as kms, aws_wafv2 as wafv2
from constructs import Construct

from quicksilver.problem import RETRY_AFTER_SECONDS, problem
from quicksilver.request import IDEMPOTENCY_HEADER
from stacks.config import Stage
from stacks.constructs.encrypted_log_group import EncryptedLogGroup

MOST_INSPECTED_BYTES = 64 * 1024
"""What API Gateway hands AWS WAF of a body at most, and if told to:
https://docs.aws.amazon.com/waf/latest/developerguide/web-acl-setting-body-inspection-limit.html."""

_MANAGED: Mapping[str, Sequence[str]] = {
    "AWSManagedRulesAmazonIpReputationList": (),
    "AWSManagedRulesCommonRuleSet": (
        # 8 KB, where a batch may have 2 MiB; our own bounds are below.
        "SizeRestrictions_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        "CrossSiteScripting_BODY",
    ),
    "AWSManagedRulesKnownBadInputsRuleSet": ("JavaDeserializationRCE_BODY", "Log4JRCE_BODY"),
}
"""Groups of rules that AWS keeps, and which of each only count."""

# A match of this rule is logged with what it matched; for a body, that is payload.
# https://docs.aws.amazon.com/waf/latest/developerguide/logging-fields.html
_QUOTES_THE_BODY = "awswaf:managed:aws:core-rule-set:CrossSiteScripting_Body"
_REDACTED = ("authorization", "x-amz-security-token", "x-api-key", IDEMPOTENCY_HEADER.lower())
_TOO_LARGE, _TOO_MANY = "TooLarge", "TooMany"


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyLimit:
    """How many bytes a body may have where the path ends so; anywhere, for an empty end."""

    path_end: str
    max_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """``requests_per_minute`` are those of one IP address."""

    requests_per_minute: int
    bodies: Sequence[BodyLimit]


class Firewall(Construct):
    """One web ACL for one API's stage, named as its stack is, with a log of what it blocks."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        api: apigateway.RestApi,
        limits: Limits,
        log_key: kms.IKey,
    ) -> None:
        super().__init__(scope, id)
        self._name = Stack.of(self).stack_name
        rules = [
            self._rule(
                "Flood", _flood(limits.requests_per_minute), _block(HTTPStatus.TOO_MANY_REQUESTS, _TOO_MANY)
            ),
            *(
                self._rule(
                    f"Body{number}",
                    _too_large(limit),
                    _block(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE),
                )
                for number, limit in enumerate(limits.bodies, start=1)
            ),
            *(self._managed(group, counted) for group, counted in _MANAGED.items()),
        ]
        acl = wafv2.CfnWebACL(
            self,
            "Acl",
            name=self._name,
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=self._visibility("Acl"),
            rules=[{**rule, "priority": priority} for priority, rule in enumerate(rules)],
            association_config=wafv2.CfnWebACL.AssociationConfigProperty(
                request_body={
                    "API_GATEWAY": wafv2.CfnWebACL.RequestBodyAssociatedResourceTypeConfigProperty(
                        default_size_inspection_limit=f"KB_{MOST_INSPECTED_BYTES // 1024}"
                    )
                }
            ),
            custom_response_bodies={
                _TOO_LARGE: _said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large."),
                _TOO_MANY: _said(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; try again."),
            },
        )
        wafv2.CfnWebACLAssociation(
            self, "Association", resource_arn=api.deployment_stage.stage_arn, web_acl_arn=acl.attr_arn
        )
        self._log(stage, acl, log_key)

    def _log(self, stage: Stage, acl: wafv2.CfnWebACL, key: kms.IKey) -> None:
        # AWS WAF writes to no group of another name.
        group = EncryptedLogGroup(self, "Log", stage=stage, key=key, name=f"aws-waf-logs-{self._name}")
        wafv2.CfnLoggingConfiguration(
            self,
            "Logging",
            resource_arn=acl.attr_arn,
            # Without the ``:*`` at the end of a group's own ARN.
            log_destination_configs=[
                Stack.of(self).format_arn(
                    service="logs",
                    resource="log-group",
                    resource_name=group.log_group_name,
                    arn_format=ArnFormat.COLON_RESOURCE_NAME,
                )
            ],
            redacted_fields=[
                wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": header})
                for header in _REDACTED
            ],
            logging_filter={
                "DefaultBehavior": "DROP",
                "Filters": [
                    _filter("DROP", {"LabelNameCondition": {"LabelName": _QUOTES_THE_BODY}}),
                    _filter("KEEP", {"ActionCondition": {"Action": "BLOCK"}}),
                ],
            },
        )

    def _rule(self, name: str, statement: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "statement": statement,
            "action": action,
            "visibilityConfig": self._visibility(name),
        }

    def _managed(self, group: str, counted: Sequence[str]) -> dict[str, Any]:
        return {
            "name": group,
            "statement": {
                "managedRuleGroupStatement": {
                    "vendorName": "AWS",
                    "name": group,
                    "ruleActionOverrides": [{"name": rule, "actionToUse": {"count": {}}} for rule in counted],
                }
            },
            "overrideAction": {"none": {}},
            "visibilityConfig": self._visibility(group),
        }

    def _visibility(self, name: str) -> dict[str, Any]:
        # Samples show every header of a request, its key and its signature among them, to whoever may open the console.
        return {
            "cloudWatchMetricsEnabled": True,
            "metricName": f"{self._name}-{name}",
            "sampledRequestsEnabled": False,
        }


def _filter(behavior: str, condition: Mapping[str, Any]) -> dict[str, Any]:
    return {"Behavior": behavior, "Requirement": "MEETS_ANY", "Conditions": [condition]}


def _flood(requests_per_minute: int) -> dict[str, Any]:
    return {
        "rateBasedStatement": {
            "aggregateKeyType": "IP",
            "limit": requests_per_minute,
            "evaluationWindowSec": 60,
        }
    }


def _too_large(limit: BodyLimit) -> dict[str, Any]:
    """Exact as far as AWS WAF sees a body, and by what its sender says of it beyond: the function counts for itself."""
    plain = [{"priority": 0, "type": "NONE"}]
    if limit.max_bytes <= MOST_INSPECTED_BYTES:
        large: dict[str, Any] = {
            "sizeConstraintStatement": {
                "fieldToMatch": {"body": {"oversizeHandling": "MATCH"}},
                "comparisonOperator": "GT",
                "size": limit.max_bytes,
                "textTransformations": plain,
            }
        }
    else:
        large = {
            "regexMatchStatement": {
                "fieldToMatch": {"singleHeader": {"Name": "content-length"}},
                "regexString": larger_than(limit.max_bytes),
                "textTransformations": plain,
            }
        }
    if not limit.path_end:
        return large
    path = {
        "byteMatchStatement": {
            "fieldToMatch": {"uriPath": {}},
            "positionalConstraint": "ENDS_WITH",
            "searchString": limit.path_end,
            "textTransformations": plain,
        }
    }
    return {"andStatement": {"statements": [path, large]}}


def larger_than(number: int) -> str:
    """A regular expression for whole numbers above this one, without a group that captures: AWS WAF takes none."""
    digits = str(number)
    branches = [f"[1-9][0-9]{{{len(digits)},}}"]
    for place, digit in enumerate(digits):
        if digit != "9":
            rest = len(digits) - place - 1
            branches.append(f"{digits[:place]}[{int(digit) + 1}-9]" + (f"[0-9]{{{rest}}}" if rest else ""))
    return f"^0*(?:{'|'.join(branches)})$"


def _block(status: HTTPStatus, body: str) -> dict[str, Any]:
    response: dict[str, Any] = {"responseCode": int(status), "customResponseBodyKey": body}
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        response["responseHeaders"] = [{"name": "Retry-After", "value": str(RETRY_AFTER_SECONDS)}]
    return {"block": {"customResponse": response}}


def _said(status: HTTPStatus, detail: str) -> dict[str, str]:
    # A content type of one's own can't be given: the problem comes as application/json.
    return {"contentType": "APPLICATION_JSON", "content": json.dumps(problem(status, detail))}
