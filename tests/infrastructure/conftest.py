"""Every stage's templates, synthesized once for the whole session, on layers that need no download."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from layers.core_layer import shipped
from layers.provenance import MARKER, made_from
from quicksilver.drift_policy import DriftPolicy
from stacks.build import build
from stacks.config import STAGES, Stage, load_stage
from stacks.constructs.layers import BUILT, LAYERS_ROOT

ROOT = Path(__file__).resolve().parents[2]

Resource = Mapping[str, Any]
Template = Mapping[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """One stage's cloud assembly."""

    stage: Stage
    folder: Path
    data: Template
    scoring: Template
    control: Template
    monitoring: Template
    operations: Template | None
    """On AWS only."""

    @property
    def template_files(self) -> list[Path]:
        return sorted(self.folder.glob("*.template.json"))

    @property
    def templates(self) -> list[Template]:
        every = (self.data, self.scoring, self.control, self.monitoring, self.operations)
        return [template for template in every if template is not None]

    @property
    def resources(self) -> dict[str, Resource]:
        merged: dict[str, Resource] = {}
        for template in self.templates:
            assert merged.keys().isdisjoint(template["Resources"]), "two stacks share a logical id"
            merged |= template["Resources"]
        return merged

    def of_type(self, kind: str, stack: str = "") -> dict[str, Resource]:
        """The resources of one type, by logical id, in every stack or in one; there must be some."""
        resources = getattr(self, stack)["Resources"] if stack else self.resources
        found = {name: item for name, item in resources.items() if item["Type"] == kind}
        assert found, f"stage {self.stage.name} has no {kind} {stack}"
        return found

    def named(self, kind: str, id: str, stack: str = "") -> tuple[str, Resource]:
        """The one resource of a type with this construct id, and its logical id, which is the id and a hash."""
        resources = self.of_type(kind, stack)
        ((name, resource),) = ((name, item) for name, item in resources.items() if name[:-8] == id)
        return name, resource


def alarms_of(synthesized: Synthesized, subject: str) -> dict[str, Resource]:
    """The properties of one subject's alarms, by what they are about: ``dead-letters`` of ``rollup``."""
    start = f"quicksilver-{synthesized.stage.name}-{subject}-"
    alarms = (item["Properties"] for item in synthesized.of_type("AWS::CloudWatch::Alarm").values())
    return {
        alarm["AlarmName"].removeprefix(start): alarm
        for alarm in alarms
        if alarm["AlarmName"].startswith(start)
    }


def told_policy(stage: Stage, endpoint: str) -> DriftPolicy:
    """The drift policy of the checkout as a stage's functions are told it: an emulated one waits an hour for late records."""
    written = DriftPolicy.from_toml((ROOT / "policies" / "drift" / f"{endpoint}.toml").read_text())
    return written.model_copy(update={"late_hours": 1}) if stage.emulated else written


def context() -> dict[str, Any]:
    """The feature flags the CLI would hand over."""
    flags: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return flags


def synthesize(stage: Stage, layers_root: Path, folder: Path) -> Synthesized:
    app = App(outdir=str(folder), context=context(), analytics_reporting=False)
    build(app, stage, layers_root=layers_root)
    assembly = app.synth()
    templates = {
        stack.stack_name: json.loads(Path(stack.template_full_path).read_text()) for stack in assembly.stacks
    }
    return Synthesized(
        stage,
        folder,
        templates[f"quicksilver-{stage.name}-data"],
        templates[f"quicksilver-{stage.name}-scoring"],
        templates[f"quicksilver-{stage.name}-control"],
        templates[f"quicksilver-{stage.name}-monitoring"],
        templates.get(f"quicksilver-{stage.name}-operations"),
    )


@pytest.fixture(scope="session")
def make_layers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Make a layers folder as ``make layers`` leaves it, with our real core and a file for each library.

    Byte code and native libraries are stand-ins, as nothing runs them.
    """

    def make() -> Path:
        root = tmp_path_factory.mktemp("layers")
        shutil.copytree(LAYERS_ROOT / "core", root / "core", ignore=shutil.ignore_patterns("__pycache__"))
        for name in BUILT:
            if name != "core":
                lock = root / name / "requirements.txt"
                lock.parent.mkdir()
                lock.write_text(f"{name}==1.0\n")
            for target in ("local", "arm64", "x86_64"):
                layer = root / ".build" / target / name
                (layer / "python" / "__pycache__").mkdir(parents=True)
                (layer / "python" / f"{name}.py").write_text(f"TARGET = {target!r}\n")
                tag = sys.implementation.cache_tag if target == "local" else "cpython-313"
                (layer / "python" / "__pycache__" / f"{name}.{tag}.pyc").write_text("as it was built")
                (layer / MARKER).write_text(made_from(root, name))
        for target in ("local", "arm64", "x86_64"):
            python = root / ".build" / target / "core" / "python"
            for file in shipped(root / "core"):
                (python / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / "core" / "python" / file, python / file)
            (python / "quicksilver" / "libquicksilver.so").write_text(f"for {target}")
        return root

    return make


@pytest.fixture(scope="session")
def layers_root(make_layers: Callable[[], Path]) -> Path:
    """Shared by the whole session: not to be changed."""
    return make_layers()


@pytest.fixture(scope="session")
def synthesized(layers_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Synthesized]:
    """A stage's templates by its name; each is synthesized at most once."""
    done: dict[str, Synthesized] = {}

    def of(name: str) -> Synthesized:
        if name not in done:
            done[name] = synthesize(
                load_stage(name), layers_root, tmp_path_factory.mktemp(f"assembly-{name}")
            )
        return done[name]

    return of


@pytest.fixture(params=list(STAGES))
def every_stage(request: pytest.FixtureRequest, synthesized: Callable[[str], Synthesized]) -> Synthesized:
    return synthesized(request.param)


@pytest.fixture(params=[name for name in STAGES if name != "local"])
def aws_stage(request: pytest.FixtureRequest, synthesized: Callable[[str], Synthesized]) -> Synthesized:
    """Each stage that runs on AWS and not on an emulator."""
    return synthesized(request.param)


@pytest.fixture
def local(synthesized: Callable[[str], Synthesized]) -> Synthesized:
    return synthesized("local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Under `-n` with `--dist loadgroup`, one worker takes all of these, so that each stage is still
    # synthesized only once.
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("infrastructure"))
