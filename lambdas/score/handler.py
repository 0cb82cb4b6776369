"""Score one request of one endpoint: ``POST /v1/{endpoint}/score`` through API Gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.score import score_function

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from quicksilver.edge import Answer

function = score_function()  # in Lambda's init phase: clients made, models loaded


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Answer:
    try:
        return function.answer(event, function_version=context.function_version)
    finally:
        function.after_response.answered()
