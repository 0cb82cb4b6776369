"""The CDK app as ``cdk`` runs it: what cannot be built is said in one sentence, without a traceback."""

from __future__ import annotations

import json
import os
import re
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


def test_a_stage_without_a_required_alarm_is_one_sentence_and_a_failure(tmp_path: Path) -> None:
    # Given a checkout in which stream consumers lost their alarms on how late they read
    careless = (
        "import runpy\n"
        "from stacks.constructs.stream_consumer import StreamConsumer\n"
        "StreamConsumer._alarms = lambda *_: None\n"
        "runpy.run_path('app.py', run_name='__main__')\n"
    )
    context = {**json.loads((ROOT / "cdk.json").read_text())["context"], "stage": "dev"}
    environment = os.environ | {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(tmp_path)}
    environment["PATH"] = os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ["PATH"]])
    # When it is synthesized
    run = subprocess.run(
        [sys.executable, "-c", careless],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    # Then the last that is said is which alarm of what is missing
    assert run.returncode == 1
    assert re.fullmatch(
        r"quicksilver: Stage dev has a stream consumer without an alarm on IteratorAge: "
        r"\w+ConsumerMapping\w+ of quicksilver-dev-control\.",
        run.stderr.splitlines()[-1],
    )
    assert "Traceback" not in run.stderr
