"""A deployment of CodeDeploy, as far as its hooks need it: which alias moves from which function version to which.

A hook is told two ids and nothing else::

    {"DeploymentId": "d-...", "LifecycleEventHookExecutionId": "..."}

What moves stands in the deployment's revision, an AppSpec file for Lambda.
https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quicksilver.errors import ReleaseRefused

_Id = Annotated[str, Field(min_length=1)]
_FunctionVersion = Annotated[str, Field(pattern=r"^[1-9]\d*$")]
"""A published one: never ``$LATEST``, which is whatever it is at the moment."""


class HookEvent(BaseModel):
    """What CodeDeploy invokes a hook with."""

    model_config = ConfigDict(frozen=True)

    DeploymentId: _Id
    LifecycleEventHookExecutionId: _Id


class _Properties(BaseModel):
    Name: _Id
    Alias: _Id
    CurrentVersion: _FunctionVersion
    TargetVersion: _FunctionVersion


class _Resource(BaseModel):
    Type: Literal["AWS::Lambda::Function"]
    Properties: _Properties


class _AppSpec(BaseModel):
    Resources: Annotated[list[dict[str, _Resource]], Field(min_length=1, max_length=1)]


@dataclass(frozen=True, slots=True)
class Deployment:
    """``alias`` of ``function`` moves from the function version ``current`` to ``target``."""

    function: str
    alias: str
    current: str
    target: str

    @classmethod
    def from_appspec(cls, content: str) -> Deployment:
        """Read a revision. Raises ``ReleaseRefused`` naming what it lacks."""
        try:
            appspec = _AppSpec.model_validate(json.loads(content))
            ((resource,),) = (resources.values() for resources in appspec.Resources)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:5])
            raise ReleaseRefused(
                f"The deployment's AppSpec does not move a Lambda alias: {places}."
            ) from None
        except ValueError:
            raise ReleaseRefused("The deployment's AppSpec is not JSON of one Lambda function.") from None
        moved = resource.Properties
        return cls(moved.Name, moved.Alias, moved.CurrentVersion, moved.TargetVersion)


@dataclass(frozen=True, slots=True)
class Releases:
    """What is released in one stage: the score functions by endpoint, each behind the same alias."""

    functions: Mapping[str, str]
    alias: str

    def endpoint(self, deployment: Deployment) -> str:
        """The endpoint whose code moves. Raises ``ReleaseRefused`` for what is none of this stage's releases."""
        found = [name for name, function in self.functions.items() if function == deployment.function]
        if not found or deployment.alias != self.alias:
            raise ReleaseRefused(
                f"{deployment.function}:{deployment.alias} is not the alias {self.alias} of a score function here."
            )
        return found[0]


class Deployments(Protocol):
    """CodeDeploy, as its hooks ask it. Every call may raise ``Unavailable``."""

    def deployment(self, deployment_id: str) -> Deployment:
        """What a deployment moves. Raises ``ReleaseRefused`` where that cannot be known."""
        ...

    def report(self, hook: HookEvent, *, succeeded: bool) -> None:
        """Say how a hook went on: the deployment waits for it."""
        ...


class FunctionVersions(Protocol):
    """Published function versions, each to be asked by itself."""

    def ask(self, function: str, version: str, event: Mapping[str, Any]) -> Any:
        """What this function version returns. Raises ``Unavailable`` where it fails or cannot be reached."""
        ...

    def shares(self, function: str, alias: str) -> Mapping[str, float]:
        """The share of an alias's traffic that each function version gets, of 1; none that gets nothing. Raises
        ``Unavailable``."""
        ...
