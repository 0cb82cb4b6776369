"""CodeDeploy and Lambda's Invoke, as far as a hook calls them, over HTTP in AWS's own shapes.

Shapes: ``codedeploy`` 2014-10-06 (awsJson1.1) and Lambda's ``POST /2015-03-31/functions/<name>/invocations``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.loopback_http import Answer, Request
from bench.runtime_api import RuntimeApi

FUNCTION = "quicksilver-test-score-card-fraud"
APPLICATION = "quicksilver-test-releases"


def appspec(current: str = "1", target: str = "2", alias: str = "live", name: str = FUNCTION) -> str:
    """The AppSpec that CloudFormation hands in for an alias's new function version."""
    moved = {"Name": name, "Alias": alias, "CurrentVersion": current, "TargetVersion": target}
    resource = {name: {"Type": "AWS::Lambda::Function", "Properties": moved}}
    hooks = [{"BeforeAllowTraffic": "quicksilver-test-before-traffic"}]
    return json.dumps({"version": "0.0", "Resources": [resource], "Hooks": hooks})


@dataclass
class CodeDeployAndLambda:
    """``running`` are execution environments by function version; ``reported`` what the hook has said of a deployment."""

    running: Mapping[str, RuntimeApi]
    content: str = field(default_factory=appspec)
    reported: list[dict[str, str]] = field(default_factory=list)
    refusal: str = ""

    def answer(self, request: Request) -> Answer:
        target = request.headers.get("x-amz-target", "")
        if target.startswith("CodeDeploy_20141006."):
            return self._codedeploy(target.partition(".")[2], json.loads(request.body))
        url = urlsplit(request.path)
        assert url.path == f"/2015-03-31/functions/{FUNCTION}/invocations", request.path
        (version,) = parse_qs(url.query)["Qualifier"]
        return self._invoke(version, json.loads(request.body))

    def _codedeploy(self, operation: str, content: dict[str, Any]) -> Answer:
        if operation == "GetDeployment":
            # By its hash alone, as CodeDeploy names the revision of a deployment by CloudFormation.
            revision = {"revisionType": "String", "string": {"sha256": "ab" * 32}}
            info = {
                "deploymentId": content["deploymentId"],
                "applicationName": APPLICATION,
                "revision": revision,
            }
            return _json(200, {"deploymentInfo": info})
        if operation == "GetApplicationRevision":
            assert content["applicationName"] == APPLICATION
            revision = {"revisionType": "String", "string": {"sha256": "ab" * 32, "content": self.content}}
            return _json(200, {"applicationName": APPLICATION, "revision": revision})
        assert operation == "PutLifecycleEventHookExecutionStatus"
        if self.refusal:
            return _json(400, {"__type": self.refusal, "message": "no"})
        self.reported.append(content)
        return _json(200, {"lifecycleEventHookExecutionId": content["lifecycleEventHookExecutionId"]})

    def _invoke(self, version: str, event: dict[str, Any]) -> Answer:
        api = self.running.get(version)
        if api is None:
            return _json(
                404, {"Type": "User", "Message": "Function not found"}, error="ResourceNotFoundException"
            )
        invocation = api.begin(event, timeout=60)
        content = invocation.wait_answered(60)
        return _json(200, content, failed=invocation.failed)


def _json(status: int, content: Any, *, error: str = "", failed: bool = False) -> Answer:
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    if error:
        headers["x-amzn-ErrorType"] = error
    if failed:
        headers["X-Amz-Function-Error"] = "Unhandled"
    return Answer(status, json.dumps(content).encode(), headers)
