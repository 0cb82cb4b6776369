"""A hook's answer to CodeDeploy: whatever happens here, the deployment is told, and what is not told to go on is stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quicksilver.code_release.deployment import Deployment, Deployments, HookEvent
from quicksilver.errors import QuicksilverError, whereabouts

logger = logging.getLogger(__name__)


def answer_hook(
    event: Mapping[str, Any], deployments: Deployments, check: Callable[[Deployment], Sequence[str]]
) -> dict[str, Any]:
    """Run a hook's check and report it; returns what it found, in sentences.

    Raises what kept the report from CodeDeploy: Lambda may then run the hook again, and where it is never told CodeDeploy
    gives the deployment up by itself after an hour, which takes it back.
    """
    hook = HookEvent.model_validate(event)
    facts = {"deployment": hook.DeploymentId}
    try:
        said = [*check(deployments.deployment(hook.DeploymentId))]
        succeeded = True
        logger.info("the release goes on: %s", " ".join(said), extra=facts)
    except QuicksilverError as error:
        said, succeeded = [str(error)], False
        logger.error("the release is stopped: %s", error, extra=facts)
    except Exception as error:
        said, succeeded = ["The check itself failed."], False
        logger.error("the release is stopped: the check itself failed", extra={**facts, **whereabouts(error)})
    deployments.report(hook, succeeded=succeeded)
    return {**facts, "succeeded": succeeded, "said": said}
