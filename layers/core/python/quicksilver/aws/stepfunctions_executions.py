"""Executions of a machine in AWS Step Functions."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import Unavailable
from quicksilver.ports import Execution, ExecutionStatus


class StepFunctionsExecutions:
    def __init__(self, client: Any) -> None:
        self._client = client

    def describe(self, arn: str) -> Execution | None:
        try:
            found = self._client.describe_execution(executionArn=arn)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ExecutionDoesNotExist":
                return None
            raise Unavailable(f"The execution cannot be described: {code}.") from error
        except BotoCoreError as error:
            raise Unavailable(f"Step Functions cannot be reached: {type(error).__name__}.") from error
        return Execution(
            ExecutionStatus(found["status"]), found.get("output"), found.get("error"), found.get("cause")
        )
