"""Judge every window of predictions that is due, and have what follows decided and told. Runs every hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.drift import drift_function

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = drift_function()

WINDOW_MS = 240_000
"""What a window of ten million predictions takes with what follows it, with room. With less left none is begun."""


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    try:
        return function.drift.run(lambda: context.get_remaining_time_in_millis() > WINDOW_MS)
    finally:
        function.metrics.flush()
