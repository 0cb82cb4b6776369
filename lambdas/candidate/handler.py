"""The last step of a retraining: gate what training has left, register it, and put it in shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.candidate import candidate_function
from quicksilver.retraining.step import Step, said_to_the_machine

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = candidate_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    with said_to_the_machine():
        request = Step.of(event).request(function.documents)
        return function.candidates.bring(request).told(request)
