"""Why AWS did not do what a boto3 client asked for."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError


def cause(error: BotoCoreError | ClientError) -> str:
    """AWS's own code for a refusal; else what kind of failure it was."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
