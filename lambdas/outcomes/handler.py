"""Take outcomes of one endpoint's predictions: ``POST /v1/{endpoint}/outcomes`` through API Gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.outcomes import outcomes_function

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from quicksilver.outcomes_api import Answer

function = outcomes_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Answer:
    return function.answer(event)
