"""The CDK app as ``cdk`` runs it: what cannot be built is said in one sentence, without a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infrastructure.conftest import ROOT


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({}, "quicksilver: Name a stage: -c stage=local|dev|staging|prod.\n"),
        (
            {"stage": "production"},
            "quicksilver: There is no stage 'production'; choose one of local, dev, staging, prod.\n",
        ),
    ],
)
def test_a_wrong_stage_is_one_sentence_and_a_failure(
    context: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    environment = os.environ | {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(tmp_path)}
    # The environment's own Node: of one it finds too old, jsii says so on stderr at length.
    environment["PATH"] = os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ["PATH"]])
    run = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == sentence
    assert run.stdout == ""


def test_the_cli_runs_the_app_in_the_projects_own_environment() -> None:
    settings = json.loads((ROOT / "cdk.json").read_text())
    assert settings["app"] == ".venv/bin/python app.py"
    # Without this flag a changed layer publishes no new function version.
    assert settings["context"]["@aws-cdk/aws-lambda:recognizeLayerVersion"] is True
