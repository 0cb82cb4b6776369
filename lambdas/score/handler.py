"""Score one request of one endpoint: ``POST /v1/{endpoint}/score`` through API Gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap import score_function
from quicksilver.edge import Answer, answer_score

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = score_function()  # in Lambda's init phase: clients made, models loaded


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Answer:
    try:
        return answer_score(
            event, function.scorer, function.metrics, function_version=context.function_version
        )
    finally:
        function.finish()
