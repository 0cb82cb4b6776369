"""Judge what labels show of every endpoint, ask for a new model where that is wanted, and announce it. Runs once a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.performance import performance_function

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = performance_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    try:
        return function.schedule.run()
    finally:
        function.metrics.flush()
