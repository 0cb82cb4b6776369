"""Answer one request to the registry: ``/v1/registry/...`` through API Gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.registry import registry_function
from quicksilver.registry_api import Answer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = registry_function()  # in Lambda's init phase: clients made, policies read


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Answer:
    return function.answer(event)
