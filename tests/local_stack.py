"""The deployed local stage as integration and end-to-end tests use it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any, TypeVar

from quicksilver.archive import PREDICTIONS
from quicksilver.aws.api import ApiAnswer
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.gates.policy import Policy
from quicksilver.local import checkout
from quicksilver.local.deployment import STAGE
from quicksilver.local.people import PEOPLE
from quicksilver.local.temporary import temporary_deployment
from quicksilver.package import Package
from quicksilver.routing import sole_champion
from tests.approvals import report

T = TypeVar("T")


def eventually(probe: Callable[[], T | None], what: str, seconds: float = 30) -> T:
    """Ask until the answer is true, and give it; fail, saying what was waited for, when time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {what}"
        Event().wait(0.1)
    return answer


@dataclass(frozen=True)
class LocalStack(DeployedStage):
    """``stage=local`` as ada sees it, with what only tests do to it."""

    people: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def as_(self, person: str) -> DeployedStage:
        return DeployedStage(self.stage, self.people[person])

    def score(self, request: Any, endpoint: str = "card-fraud", **headers: str) -> ApiAnswer:
        """Post a request: an object as JSON, text and bytes as they are. ``Idempotency_Key`` is a header's name."""
        body = request if isinstance(request, bytes) else str(request).encode()
        if isinstance(request, dict):
            body = json.dumps(request).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.api.post(f"/v1/{endpoint}/score", body, headers=named)

    def approve(self, package: Package, endpoint: str = "card-fraud") -> str:
        """Register, gate and approve a package, as two people; returns the model version's name."""
        self.artifacts.put(package.sha256, package.files)
        model = self.registry.register(endpoint, package.sha256)
        if model.approval is None:
            by = Policy.from_toml((checkout() / "policies" / f"{endpoint}.toml").read_text())
            self.registry.add_evidence(model.name, report(package, by))
            self.as_("grace").registry.approve(model.name, reason="It passed.")
        return model.name

    def route_to(self, package: Package, endpoint: str = "card-fraud") -> str:
        """Approve a package and make it champion."""
        model = self.approve(package, endpoint)
        arm = sole_champion(self.registry.model_version(model))
        self.as_("grace").registry.set_route(endpoint, [arm], reason="It passed.")
        return model

    def put_champion(self, package: Package, endpoint: str = "card-fraud") -> str:
        """Make a package champion, and let the next request meet an environment that knows it."""
        model = self.route_to(package, endpoint)
        self.new_environment(endpoint)
        return model

    def new_environment(self, endpoint: str) -> None:
        """Point ``live`` at a new function version, so that the next request meets a cold environment."""
        client = self.client("lambda")
        function = self.score_function(endpoint).removesuffix(":live")
        # Lambda publishes a version only when something differs from the last.
        client.update_function_configuration(FunctionName=function, Description=f"test {time.monotonic_ns()}")
        version = client.publish_version(FunctionName=function)["Version"]
        client.update_alias(FunctionName=function, Name="live", FunctionVersion=version)

    def consumers_read_anew(self) -> None:
        """Let each consumer of the prediction stream begin with its oldest record, as after the stream was made anew."""
        client = self.client("lambda")
        for mapping in client.list_event_source_mappings()["EventSourceMappings"]:
            client.delete_event_source_mapping(UUID=mapping["UUID"])
            client.create_event_source_mapping(
                **{
                    name: mapping[name]
                    for name in ("EventSourceArn", "BatchSize", "MaximumBatchingWindowInSeconds")
                },
                FunctionName=mapping["FunctionArn"],
                StartingPosition="TRIM_HORIZON",
            )

    def logs(self, endpoint: str) -> str:
        """Everything the endpoint's function has logged."""
        client = self.client("logs")
        function = self.client("lambda").get_function_configuration(
            FunctionName=self.score_function(endpoint)
        )
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=function["LoggingConfig"]["LogGroup"]
        )
        return "\n".join(event["message"] for page in pages for event in page["events"])

    def archived(self, prediction_ids: Iterable[str]) -> list[dict[str, Any]]:
        """The archived records of these predictions, whole, as often as they were delivered until now."""
        wanted = set(prediction_ids)
        records = map(json.loads, self.archive.lines(PREDICTIONS))
        return [record for record in records if record["prediction_id"] in wanted]


@contextmanager
def running_stack() -> Iterator[LocalStack]:
    with temporary_deployment("tests") as deployment:
        people = {name: deployment.environment_of(name) for name in PEOPLE}
        yield LocalStack(STAGE, people["ada"], people=people)
