"""The first steps of a retraining: take the request, and leave its training set in its workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.training_set import training_set_function
from quicksilver.retraining.execution import take
from quicksilver.retraining.step import Step, said_to_the_machine

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = training_set_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    with said_to_the_machine():
        step = Step.of(event)
        request = step.request(function.documents)
        if event.get("step") == "claim":
            return {"mine": take(function.documents, request, step.execution, function.clock)}
        facts = function.sets.export(request)
        ending = function.sets.too_few(request, facts)
        return {
            **facts.model_dump(),
            "enough": ending is None,
            "ended": None if ending is None else ending.told(request),
        }
