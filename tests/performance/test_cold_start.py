"""What a cold start imports, from the layers as they are built: a budget in modules, as time depends on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from layers.build import BUILDS, RECIPES
from tests.handler_process import ENVIRONMENT
from tests.unit.test_score_handler import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
# Its own packages are boto3 and what boto3 needs, which stand in for those of Lambda's runtime.
EMULATORS_PYTHON = ROOT / ".local" / "emulator" / "bin" / "python"

FROM_OUR_LAYERS = {
    "annotated_types", "aws_lambda_powertools", "dotenv", "jmespath", "pydantic", "pydantic_core", "pydantic_settings",
    "quicksilver", "typing_extensions", "typing_inspection",
}  # fmt: skip
FROM_LAMBDAS_RUNTIME = {"boto3", "botocore", "dateutil", "s3transfer", "six", "urllib3"}

MODULES, OTHERS_MODULES = 597, 356
"""In all, and without the standard library's. Measured: 543 and 324; a tenth more is allowed."""

SCRIPT = """
import json, sys

compiled = []
sys.addaudithook(lambda event, details: compiled.append(str(details[1])) if event == "compile" else None)
sys.path[:0] = sys.argv[1:]
before = set(sys.modules)
import handler

imported = {
    name: str(getattr(module, "__file__", None) or "")
    for name, module in sys.modules.items()
    if name not in before
}
print(json.dumps({"imported": imported, "compiled": compiled}))
"""


@dataclass(frozen=True)
class ColdStart:
    imported: Mapping[str, str]
    """Module name -> its file, or nothing for a built-in one."""
    compiled: frozenset[str]
    """Files that the interpreter compiled, having found no byte code."""

    @property
    def packages(self) -> set[str]:
        """Top-level names outside the standard library."""
        names = {name.partition(".")[0] for name in self.imported} - STANDARD
        # Written when an interpreter is built, under its own name.
        return {name for name in names if not name.startswith("_sysconfigdata_")}


STANDARD = {*sys.stdlib_module_names, "handler", "__mp_main__"}


@pytest.fixture(scope="module")
def cold_start() -> ColdStart:
    layers = [BUILDS / "local" / layer / "python" for layer in RECIPES]
    assert all(layer.is_dir() for layer in layers), "run make layers"
    # -I: neither the checkout nor the environment adds a path; -B: the layers stay as they were built.
    command: list[str | Path] = [
        EMULATORS_PYTHON,
        "-I",
        "-B",
        "-c",
        SCRIPT,
        ROOT / "lambdas" / "score",
        *layers,
    ]
    run = subprocess.run(command, env={**ENVIRONMENT, **SETTINGS}, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    return ColdStart(seen["imported"], frozenset(seen["compiled"]))


def test_every_module_of_ours_comes_from_a_layer(cold_start: ColdStart) -> None:
    ours = {
        name: file
        for name, file in cold_start.imported.items()
        if name.partition(".")[0] in FROM_OUR_LAYERS and not Path(file).is_relative_to(BUILDS / "local")
    }
    assert "quicksilver.scoring" in cold_start.imported
    assert ours == {}


def test_nothing_is_imported_that_is_not_in_the_budget(cold_start: ColdStart) -> None:
    assert cold_start.packages <= FROM_OUR_LAYERS | FROM_LAMBDAS_RUNTIME


def test_the_modules_imported_stay_within_the_budget(cold_start: ColdStart) -> None:
    others = [name for name in cold_start.imported if name.partition(".")[0] in cold_start.packages]
    assert (len(cold_start.imported) <= MODULES, len(others) <= OTHERS_MODULES) == (True, True), (
        f"{len(cold_start.imported)} modules, {len(others)} outside the standard library"
    )


def test_no_module_of_a_layer_is_compiled(cold_start: ColdStart) -> None:
    assert "<string>" in cold_start.compiled, "dataclasses compile what they generate; the hook must see it"
    assert [file for file in cold_start.compiled if Path(file).is_relative_to(BUILDS)] == []
