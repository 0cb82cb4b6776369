"""Score a batch of the prediction stream with every shadow of its endpoints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.shadow import shadow_function
from quicksilver.stream_event import stream_batch

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = shadow_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    try:
        # What it raises makes Lambda bring the batch again; its scores replace those it left.
        return asdict(function.batches.score(stream_batch(event)))
    finally:
        function.metrics.flush()
