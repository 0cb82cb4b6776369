"""Look at a release of a score function for CodeDeploy, after all of its traffic has moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.after_traffic import after_traffic_hook

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

hook = after_traffic_hook()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return hook.answer(event)
