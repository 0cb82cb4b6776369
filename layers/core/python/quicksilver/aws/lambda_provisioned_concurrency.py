"""Provisioned concurrency of function versions in AWS Lambda."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.aws.refusals import cause
from quicksilver.code_release.provisioned import Provisioned, ProvisionedStatus
from quicksilver.errors import Unavailable

_NONE = "ProvisionedConcurrencyConfigNotFoundException"


class LambdaProvisionedConcurrency:
    def __init__(self, client: Any) -> None:
        self._client = client

    def of(self, function: str, version: str) -> Provisioned | None:
        try:
            found = self._client.get_provisioned_concurrency_config(FunctionName=function, Qualifier=version)
        except (BotoCoreError, ClientError) as error:
            if cause(error) == _NONE:
                return None
            raise _unavailable("read", version, error) from error
        return Provisioned(ProvisionedStatus(found["Status"]), found.get("StatusReason", ""))

    def put(self, function: str, version: str, executions: int) -> None:
        self._call(
            "put",
            version,
            self._client.put_provisioned_concurrency_config,
            FunctionName=function,
            Qualifier=version,
            ProvisionedConcurrentExecutions=executions,
        )

    def versions(self, function: str) -> Sequence[str]:
        pages = self._client.get_paginator("list_provisioned_concurrency_configs")
        try:
            arns = [
                config["FunctionArn"]
                for page in pages.paginate(FunctionName=function)
                for config in page["ProvisionedConcurrencyConfigs"]
            ]
        except (BotoCoreError, ClientError) as error:
            raise _unavailable("listed", function, error) from error
        # What follows the name is a function version's number, or an alias, which is not ours to touch.
        qualifiers = [arn.rpartition(":")[2] for arn in arns]
        return [qualifier for qualifier in qualifiers if qualifier.isdecimal()]

    def release(self, function: str, version: str) -> None:
        self._call(
            "released",
            version,
            self._client.delete_provisioned_concurrency_config,
            FunctionName=function,
            Qualifier=version,
        )

    def _call(self, what: str, version: str, call: Callable[..., Any], **arguments: Any) -> None:
        try:
            call(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(what, version, error) from error


def _unavailable(what: str, version: str, error: BotoCoreError | ClientError) -> Unavailable:
    return Unavailable(f"The provisioned concurrency of {version} cannot be {what}: {cause(error)}.")
