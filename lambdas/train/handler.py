"""Train a candidate on the set that a request for a new model has in its workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.train import train_function
from quicksilver.retraining.step import Step, said_to_the_machine

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = train_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    with said_to_the_machine():
        request = Step.of(event).request(function.documents)
        return function.training.train(request).model_dump(mode="json")
