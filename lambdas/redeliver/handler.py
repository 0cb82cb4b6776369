"""Put undelivered prediction records back on the stream. Runs every minute."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.redeliver import redeliver_function
from quicksilver.delivery import redeliver
from quicksilver.metrics import Metric

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = redeliver_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    try:
        result = redeliver(function.stream, function.undelivered)
        if result.delivered:
            function.metrics.count(Metric.PREDICTIONS_REDELIVERED, result.delivered)
        if result.refused:
            function.metrics.count(Metric.PREDICTIONS_STILL_UNDELIVERED, result.refused)
        if result.unreadable:
            function.metrics.count(Metric.PREDICTIONS_UNREADABLE, result.unreadable)
        return asdict(result)
    finally:
        function.metrics.flush()
