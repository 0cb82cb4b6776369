"""Deployments of AWS CodeDeploy."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.aws.refusals import cause
from quicksilver.code_release.deployment import Deployment, HookEvent
from quicksilver.errors import ReleaseRefused, Unavailable

_OVER = {"LifecycleEventAlreadyCompletedException"}
"""An earlier run of the same hook was heard, or CodeDeploy has gone on without it."""


class CodeDeployDeployments:
    def __init__(self, client: Any) -> None:
        self._client = client

    def deployment(self, deployment_id: str) -> Deployment:
        try:
            found = self._client.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
            revision = found.get("revision") or {}
            content = _content(revision)
            if content is None:
                # A deployment may name its revision by hash alone; the application has it whole.
                named = self._client.get_application_revision(
                    applicationName=found["applicationName"], revision=revision
                )
                content = _content(named["revision"])
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"CodeDeploy does not say what is deployed: {cause(error)}.") from error
        if content is None:
            raise ReleaseRefused("The deployment has no AppSpec.")
        return Deployment.from_appspec(content)

    def report(self, hook: HookEvent, *, succeeded: bool) -> None:
        try:
            self._client.put_lifecycle_event_hook_execution_status(
                deploymentId=hook.DeploymentId,
                lifecycleEventHookExecutionId=hook.LifecycleEventHookExecutionId,
                status="Succeeded" if succeeded else "Failed",
            )
        except ClientError as error:
            if cause(error) not in _OVER:
                raise Unavailable(f"CodeDeploy does not take the hook's answer: {cause(error)}.") from error
        except BotoCoreError as error:
            raise Unavailable(f"CodeDeploy cannot be told the hook's answer: {cause(error)}.") from error


def _content(revision: Any) -> str | None:
    """``string`` is how CloudFormation hands in an AppSpec; ``appSpecContent`` is what has replaced it since."""
    for kind in ("string", "appSpecContent"):
        content = (revision.get(kind) or {}).get("content")
        if content:
            return str(content)
    return None
