"""Look at every rollout of the stage and announce what the histories say. Runs every minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.rollout import rollout_function

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = rollout_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    try:
        return function.rollouts.run()
    finally:
        function.metrics.flush()
