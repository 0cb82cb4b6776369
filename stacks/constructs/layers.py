"""The layers every function carries: our code from the source, the rest as ``make layers`` built it.

They live in the stack of the functions that use them. A layer whose lock has changed since it was
built is refused, so that what is tested is what is deployed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import IgnoreMode, aws_lambda as lambda_
from constructs import Construct

from stacks.config import ConfigError, Stage

LAYERS_ROOT = Path(__file__).resolve().parents[2] / "layers"

BUILT = ("runtime", "lightgbm")
LOCK_MARKER = ".lock-sha256"
"""In each built layer: the SHA-256, in hex, of the requirements.txt it was built from."""

_NEVER_SHIPPED = ("__pycache__", "*.pyc", "*.egg-info", LOCK_MARKER)
# What makes, judges and shows models imports libraries that no layer has.
_NOT_ON_LAMBDA = (
    "/native/",
    "/python/quicksilver/cli/",
    "/python/quicksilver/local/",
    "/python/quicksilver/contract_draft.py",
    "/python/quicksilver/frame.py",
    "/python/quicksilver/model_card*.py",
    "/python/quicksilver/package_diff.py",
    "/python/quicksilver/packing.py",
    "/python/quicksilver/profile_builder.py",
    "/python/quicksilver/templates/",
    "/python/quicksilver/training_frame.py",
    "/python/quicksilver/training_metrics.py",
    # Gates run where models are trained; the registry reads their policies and reports.
    "/python/quicksilver/gates/*",
    "!/python/quicksilver/gates/__init__.py",
    "!/python/quicksilver/gates/policy.py",
    "!/python/quicksilver/gates/report.py",
)


class Layers(Construct):
    """Core, runtime and LightGBM, for the stage's architecture and runtime.

    Raises ``ConfigError`` for a layer that is not built, or not from the present lock.
    """

    def __init__(self, scope: Construct, id: str, *, stage: Stage, root: Path = LAYERS_ROOT) -> None:
        super().__init__(scope, id)
        self._stage = stage
        core = self._layer("Core", root / "core", leave_out=_NOT_ON_LAMBDA)
        built = [
            self._layer(name.capitalize(), built_layer(root, stage.layers_target, name)) for name in BUILT
        ]
        self.all: Sequence[lambda_.ILayerVersion] = (core, *built)

    def _layer(self, id: str, folder: Path, *, leave_out: Sequence[str] = ()) -> lambda_.LayerVersion:
        return lambda_.LayerVersion(
            self,
            id,
            code=lambda_.Code.from_asset(
                str(folder),
                # A stray .pyc would change the asset's hash, and so mint a new function version.
                exclude=[*_NEVER_SHIPPED, *leave_out],
                ignore_mode=IgnoreMode.GIT,
            ),
            description=f"Quicksilver {self._stage.name}: {id.lower()}",
            compatible_runtimes=[python_runtime(self._stage)],
            compatible_architectures=[architecture(self._stage)],
        )


def built_layer(root: Path, target: str, name: str) -> Path:
    """The folder of a built layer. Raises ``ConfigError`` where it is absent or outdated."""
    folder = root / ".build" / target / name
    marker = folder / LOCK_MARKER
    if not marker.is_file():
        raise ConfigError(f"The layer {name} is not built for {target}; run make layers.")
    lock = root / name / "requirements.txt"
    if marker.read_text().strip() != hashlib.sha256(lock.read_bytes()).hexdigest():
        raise ConfigError(f"The layer {name} for {target} was built from another lock; run make layers.")
    return folder


def python_runtime(stage: Stage) -> lambda_.Runtime:
    return lambda_.Runtime(stage.runtime, lambda_.RuntimeFamily.PYTHON)


def architecture(stage: Stage) -> lambda_.Architecture:
    return lambda_.Architecture.custom(stage.architecture.value)
