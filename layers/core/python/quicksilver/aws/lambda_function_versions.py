"""Function versions of AWS Lambda, each invoked by its own number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.aws.refusals import cause
from quicksilver.errors import Unavailable


class LambdaFunctionVersions:
    def __init__(self, client: Any) -> None:
        self._client = client

    def ask(self, function: str, version: str, event: Mapping[str, Any]) -> Any:
        try:
            response = self._client.invoke(
                FunctionName=function, Qualifier=version, Payload=json.dumps(event).encode()
            )
            content = json.loads(response["Payload"].read())
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"Function version {version} cannot be invoked: {cause(error)}.") from error
        except ValueError:
            raise Unavailable(f"Function version {version} answered with what is no JSON.") from None
        if "FunctionError" in response:
            # The message may quote what was being worked on.
            kind = content.get("errorType", "unknown") if isinstance(content, dict) else "unknown"
            raise Unavailable(f"Function version {version} failed: {kind}.")
        return content

    def shares(self, function: str, alias: str) -> Mapping[str, float]:
        try:
            found = self._client.get_alias(FunctionName=function, Name=alias)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The alias {alias} of {function} cannot be read: {cause(error)}.") from error
        weights = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        # The alias's own function version gets what the weights leave.
        shares = {found["FunctionVersion"]: 1.0 - sum(weights.values()), **weights}
        return {version: share for version, share in shares.items() if share > 0}
