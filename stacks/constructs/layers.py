"""The layers that functions carry, as ``make layers`` built them.

They live in the stack of the functions that use them. A layer whose sources or lock have changed since it was
built is refused, so that what is tested is what is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import IgnoreMode, aws_lambda as lambda_
from constructs import Construct

from layers.provenance import MARKER, made_from
from layers.weight import LAMBDA_LIMIT_MIB, unzipped_bytes
from stacks.config import ConfigError, Stage

LAYERS_ROOT = Path(__file__).resolve().parents[2] / "layers"

ANALYSIS = "analysis"
CARRIED_BY_ALL = ("core", "runtime", "lightgbm")
LEAN = ("core", "runtime")
"""What a function carries that has nothing to do with models."""

HANDLER_MIB = 1
"""Far more than a handler takes."""

BUILT = (*CARRIED_BY_ALL, ANALYSIS)


class Layers(Construct):
    """Core, runtime and LightGBM, for the stage's architecture and runtime; with ``analysis``, what computes, queries and
    draws too.

    Raises ``ConfigError`` for a layer that is not built, or not from the present sources, and for layers that are more than Lambda
    takes.
    """

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, root: Path = LAYERS_ROOT, analysis: bool = False
    ) -> None:
        super().__init__(scope, id)
        self._stage = stage
        names = BUILT if analysis else CARRIED_BY_ALL
        folders = {name: built_layer(root, stage.layers_target, name) for name in names}
        _require_room(stage, folders)
        self.by_name: Mapping[str, lambda_.ILayerVersion] = {
            name: self._layer(name.capitalize(), folder) for name, folder in folders.items()
        }

    def _layer(self, id: str, folder: Path) -> lambda_.LayerVersion:
        return lambda_.LayerVersion(
            self,
            id,
            code=lambda_.Code.from_asset(
                str(folder),
                # Byte code as it was built, for the stage's Python. Any other is a stray: it would change the
                # asset's hash, and so mint a new function version.
                exclude=[MARKER, "*.pyc", f"!*.{_byte_code_tag(self._stage)}.pyc"],
                ignore_mode=IgnoreMode.GIT,
            ),
            description=f"Quicksilver {self._stage.name}: {id.lower()}",
            compatible_runtimes=[python_runtime(self._stage)],
            compatible_architectures=[architecture(self._stage)],
        )


def built_layer(root: Path, target: str, name: str) -> Path:
    """The folder of a built layer. Raises ``ConfigError`` where it is absent or outdated."""
    folder = root / ".build" / target / name
    marker = folder / MARKER
    if not marker.is_file():
        raise ConfigError(f"The layer {name} is not built for {target}; run make layers.")
    if marker.read_text().strip() != made_from(root, name):
        origin = "other sources" if name == "core" else "another lock"
        raise ConfigError(f"The layer {name} for {target} was built from {origin}; run make layers.")
    return folder


def _require_room(stage: Stage, folders: Mapping[str, Path]) -> None:
    """Lambda unpacks a function with its layers into one place of 250 MiB."""
    mib = {name: unzipped_bytes(folder) / 2**20 for name, folder in folders.items()}
    if sum(mib.values()) > LAMBDA_LIMIT_MIB - HANDLER_MIB:
        largest = max(mib, key=mib.__getitem__)
        raise ConfigError(
            f"The layers {', '.join(folders)} of stage {stage.name} are {sum(mib.values()):.0f} MiB together, {largest} with "
            f"{mib[largest]:.0f} MiB the largest; Lambda takes {LAMBDA_LIMIT_MIB} MiB with the function."
        )


def python_runtime(stage: Stage) -> lambda_.Runtime:
    return lambda_.Runtime(
        stage.runtime,
        lambda_.RuntimeFamily.PYTHON,
        supports_snap_start=True,  # `Stage` refuses a runtime on AWS without it
    )


def architecture(stage: Stage) -> lambda_.Architecture:
    return lambda_.Architecture.custom(stage.architecture.value)


def _byte_code_tag(stage: Stage) -> str:
    return stage.runtime.replace("python", "cpython-").replace(".", "")
