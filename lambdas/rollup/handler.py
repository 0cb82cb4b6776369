"""Count a batch of prediction records off the stream, each once."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.rollup import rollup_function
from quicksilver.stream_event import stream_records

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = rollup_function()


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    try:
        # What it raises makes Lambda bring the batch again, which is safe at any time.
        return asdict(function.fold.fold(stream_records(event)))
    finally:
        function.metrics.flush()
