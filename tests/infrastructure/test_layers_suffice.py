"""What trains, packs, gates and draws on Lambda needs nothing but the layers, and gives there what it gives here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layers.build import BUILDS, RECIPES, is_current
from quicksilver.memory import MemoryObjectStore
from quicksilver.retraining.workspace import WorkFile, Workspace
from quicksilver.tarball import tar_bytes
from tests.gates import policy
from tests.retraining import request_for, set_file
from tests.trainings import run_of, world

if TYPE_CHECKING:
    from quicksilver.package import Package

LAYERS = [str(BUILDS / "local" / layer / "python") for layer in RECIPES]

TRAIN = """
import io, json, sys
sys.path[:0] = json.loads(sys.argv[1])
from pathlib import Path
from quicksilver.gates.policy import Policy
from quicksilver.gates.run import Champion
from quicksilver.memory import ManualClock
from quicksilver.package import open_package
from quicksilver.retraining.gating import gate_candidate
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.train import train_candidate
from quicksilver.retraining.training_set import read_training_set
from quicksilver.tarball import read_archive

folder = Path(sys.argv[2])
champion = open_package(read_archive(io.BytesIO((folder / "champion.tar").read_bytes())).__getitem__)
request = RetrainRequest.model_validate_json((folder / "request.json").read_bytes())
policy = Policy.model_validate_json((folder / "policy.json").read_bytes())
rows = read_training_set((folder / "set.parquet").read_bytes(), champion.contract)
made = train_candidate(rows, champion, request, threads=1)
report = gate_candidate(made.package, made.evaluation, policy, Champion(request.champion, champion), ManualClock())
print(json.dumps({
    "package": made.package.sha256,
    "checks": sorted({check.name for check in report.checks}),
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""

DRAW = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from quicksilver.drawing import drawing
from quicksilver.report_page import templates

with drawing(6, 3) as (axes, done):
    axes.hist([1, 2, 2, 3], label="h\\u00e9")
    axes.legend()
    axes.set_title("Scores")
    picture = done("a picture")
templates(autoescape=True).get_template("page.html.j2")
print(json.dumps({"picture": picture[:26], "bytes": len(picture)}))
"""


@pytest.fixture(scope="module", autouse=True)
def layers() -> None:
    assert all(is_current(layer, "local") for layer in RECIPES), "run make layers"


def run(script: str, *arguments: str) -> Any:
    """Run a script that can import the standard library and the layers only: no site-packages, no environment."""
    command = [sys.executable, "-I", "-S", "-c", script, json.dumps(LAYERS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_candidate_is_trained_packed_and_gated_with_the_layers_alone(
    package: Package, tmp_path: Path
) -> None:
    # Given a champion and the set of a request
    vectors, labels = world()
    request = request_for(package.contract)
    (tmp_path / "champion.tar").write_bytes(tar_bytes(package.files))
    (tmp_path / "set.parquet").write_bytes(set_file(vectors, labels))
    (tmp_path / "request.json").write_text(request.model_dump_json())
    (tmp_path / "policy.json").write_text(policy().model_dump_json())
    # When they are trained on where only the layers are
    there = run(TRAIN, str(tmp_path))
    # Then the package is the one that is trained here, byte for byte
    objects = MemoryObjectStore()
    Workspace(objects, request.endpoint, request.id).put(WorkFile.SET, set_file(vectors, labels))
    here = run_of(package, objects).train(request)
    assert there["package"] == here.package_sha256
    assert {"auc_non_inferior", "golden_raw_score", "cpu_ratio", "protected_attributes"} <= set(
        there["checks"]
    )
    assert not {"lightgbm", "pandas", "pyarrow", "scipy", "sklearn"} & set(there["modules"])


def test_pages_are_drawn_with_the_layers_alone() -> None:
    drawn = run(DRAW)
    assert drawn["picture"] == "data:image/svg+xml;base64,"
    assert drawn["bytes"] > 5_000
