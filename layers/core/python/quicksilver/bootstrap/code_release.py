"""What both hooks of a code release are wired with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quicksilver.aws.clients import client, within
from quicksilver.aws.codedeploy_deployments import CodeDeployDeployments
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.aws.lambda_function_versions import LambdaFunctionVersions
from quicksilver.aws.lambda_provisioned_concurrency import LambdaProvisionedConcurrency
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.system import SystemClock
from quicksilver.code_release.deployment import Deployment, Releases
from quicksilver.code_release.golden import GoldenRows
from quicksilver.code_release.hook import answer_hook
from quicksilver.code_release.provisioned import Warmth
from quicksilver.settings import CodeReleaseSettings

_ASKING = within(50, attempts=3)
"""A function version answers within 28 seconds, and may have to start for it."""


@dataclass(frozen=True)
class Hook:
    """Everything that a hook's handler uses."""

    deployments: CodeDeployDeployments
    check: Callable[[Deployment], Sequence[str]]

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return answer_hook(event, self.deployments, self.check)


@dataclass(frozen=True)
class Parts:
    """What a hook's check is made of."""

    versions: LambdaFunctionVersions
    releases: Releases
    registry: DynamoDBRegistryStore
    golden: GoldenRows
    warmth: Warmth
    clock: SystemClock = field(default_factory=SystemClock)

    @staticmethod
    def pause(seconds: float) -> None:
        time.sleep(seconds)


def parts(settings: CodeReleaseSettings) -> Parts:
    registry = DynamoDBRegistryStore(client("dynamodb"), settings.registry_table)
    artifacts = S3ArtifactStore(client("s3"), settings.models_bucket)
    concurrency = LambdaProvisionedConcurrency(client("lambda"))
    return Parts(
        LambdaFunctionVersions(client("lambda", _ASKING)),
        Releases(settings.functions, settings.alias),
        registry,
        GoldenRows(registry, artifacts, KmsSigner(client("kms"), settings.signing_key)),
        Warmth(concurrency, clock=SystemClock(), pause=time.sleep),
    )


def deployments() -> CodeDeployDeployments:
    return CodeDeployDeployments(client("codedeploy"))
