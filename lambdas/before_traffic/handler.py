"""Check a new function version of a score function for CodeDeploy, before it gets any traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quicksilver.bootstrap.before_traffic import before_traffic_hook

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# The saved events of the checkout, which are packed beside this file.
hook = before_traffic_hook(Path(__file__).parent / "events")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return hook.answer(event)
