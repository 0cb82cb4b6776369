"""What a stage creates, read from its cloud assembly: the folder that ``cdk synth`` leaves, one template for each stack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quicksilver.errors import InvalidInput

TEMPLATES = "*.template.json"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a template: its logical id, its type and its properties, references unresolved."""

    id: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeployedFunction:
    """A Lambda function as a template has it. ``name`` is that within the stage: ``score-card-fraud``, ``rollup``."""

    id: str
    name: str
    memory_mib: int
    storage_mib: int
    architecture: str
    snapshots: bool
    variables: Mapping[str, Any]

    @property
    def endpoint(self) -> str | None:
        """The endpoint that the function scores."""
        told = self.variables.get("QUICKSILVER_ENDPOINT")
        return told if isinstance(told, str) else None


@dataclass(frozen=True, slots=True)
class Assembly:
    """The resources of a stage, of all its stacks."""

    stage: str
    resources: Sequence[Resource]

    def of_type(self, *types: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type in types]

    @property
    def functions(self) -> list[DeployedFunction]:
        return [_function(resource, self.stage) for resource in self.of_type("AWS::Lambda::Function")]

    @property
    def endpoints(self) -> list[str]:
        """The stage's endpoints, each of which has a score function."""
        return sorted(function.endpoint for function in self.functions if function.endpoint is not None)

    def functions_in(self, value: object) -> list[DeployedFunction]:
        """The functions that a property refers to, by their logical ids or by their names."""
        words = set(_words(value))
        said = "".join(str(word) for word in words)
        return [
            function
            for function in self.functions
            if function.id in words or f"quicksilver-{self.stage}-{function.name}:" in said
        ]


def _function(resource: Resource, stage: str) -> DeployedFunction:
    properties = resource.properties
    name = str(properties.get("FunctionName", resource.id))
    return DeployedFunction(
        id=resource.id,
        name=name.removeprefix(f"quicksilver-{stage}-"),
        memory_mib=int(properties.get("MemorySize", 128)),
        storage_mib=int(properties.get("EphemeralStorage", {}).get("Size", 512)),
        snapshots=takes_snapshots(properties),
        architecture=str(properties.get("Architectures", ["x86_64"])[0]),
        variables=properties.get("Environment", {}).get("Variables", {}),
    )


def takes_snapshots(function: Mapping[str, Any]) -> bool:
    """Whether environments of a function start from a snapshot of its function version."""
    return bool(function.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions")


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _words(item)


def read_assembly(folder: Path, stage: str) -> Assembly:
    """The stage's resources. Raises ``InvalidInput`` where the folder has no templates of the stage."""
    templates = sorted(folder.glob(TEMPLATES)) if folder.is_dir() else []
    templates = [path for path in templates if path.name.startswith(f"quicksilver-{stage}-")]
    if not templates:
        raise InvalidInput(f"There are no templates of stage {stage} in {folder}.")
    found: list[Resource] = []
    for path in templates:
        try:
            resources = json.loads(path.read_text(encoding="utf-8"))["Resources"]
            found.extend(
                Resource(id, item["Type"], item.get("Properties", {})) for id, item in resources.items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise InvalidInput(f"{path} is no CloudFormation template.") from None
    return Assembly(stage, found)
