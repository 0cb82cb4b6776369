"""The before-traffic hook's wiring."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quicksilver.aws.clients import client, within
from quicksilver.aws.codedeploy_deployments import CodeDeployDeployments
from quicksilver.aws.dynamodb_registry import DynamoDBRegistryStore
from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.aws.lambda_function_versions import LambdaFunctionVersions
from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.aws.system import SystemClock
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.code_release.before_traffic import BeforeTraffic
from quicksilver.code_release.hook import answer_hook
from quicksilver.settings import BeforeTrafficSettings

ASKING = within(50, attempts=3)
"""A function version answers within 28 seconds, and may have to start for it."""


@dataclass(frozen=True)
class BeforeTrafficFunction:
    """Everything the before-traffic handler uses."""

    deployments: CodeDeployDeployments
    before_traffic: BeforeTraffic

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return answer_hook(event, self.deployments, self.before_traffic.check)


def before_traffic_function(events: Path) -> BeforeTrafficFunction:
    """Wire the before-traffic hook; ``events`` is the folder of saved events."""
    configure_logging()
    settings = BeforeTrafficSettings()  # every value comes from the environment
    before_traffic = BeforeTraffic(
        LambdaFunctionVersions(client("lambda", ASKING)),
        functions=settings.functions,
        alias=settings.alias,
        registry=DynamoDBRegistryStore(client("dynamodb"), settings.registry_table),
        artifacts=S3ArtifactStore(client("s3"), settings.models_bucket),
        signer=KmsSigner(client("kms"), settings.signing_key),
        events=saved_events(events),
        changed=settings.changed_answers,
        clock=SystemClock(),
        pause=time.sleep,
    )
    return BeforeTrafficFunction(CodeDeployDeployments(client("codedeploy")), before_traffic)


def saved_events(folder: Path) -> dict[str, dict[str, Any]]:
    """The events in a folder's JSON files, by name. Raises ``FileNotFoundError`` for a folder without any."""
    events = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
    if not events:
        raise FileNotFoundError(f"There is no saved event in {folder}.")
    return events
